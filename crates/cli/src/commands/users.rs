use strongroom_types::ClusterId;

use super::{Outcome, replicate};
use crate::arguments::User;
use crate::session::{Need, Session};
use crate::{output, prompt};

/// `user …`.
pub fn run(session: &mut Session, cluster: Option<&ClusterId>, command: User) -> Outcome {
    let user = match command {
        User::List => return Ok(output::users(&session.client(cluster, Need::Nothing)?.user_list()?)),
        User::Create { who, password } => {
            let client = session.client(cluster, Need::Login)?;
            let name = who.username.parse()?;
            client.user_create(&name, who.role, &prompt::to_set(password)?)?
        }
        User::Delete { who } => session.client(cluster, Need::Login)?.user_delete(&who.username.parse()?, who.role)?,
        User::Replicate { who, between } => return replicate::user(session, &who, &between),
        User::ChangePassword { who, password } => {
            let client = session.client(cluster, Need::Login)?;
            let name = who.username.parse()?;
            client.user_change_password(&name, who.role, &prompt::to_set(password)?)?
        }
    };
    Ok(output::user(&user))
}
