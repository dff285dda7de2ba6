use strongroom_client::Deregister;
use strongroom_types::ClusterId;

use super::quorum::approved;
use super::{Outcome, quorum, replicate};
use crate::arguments::{ChangeQuorum, ChangeQuorumTokenSign, User};
use crate::session::{Need, Session};
use crate::{output, prompt};

/// `user …`.
pub fn run(session: &mut Session, cluster: Option<&ClusterId>, command: User) -> Outcome {
    let user = match command {
        User::List => return Ok(output::users(&session.client(cluster, Need::Nothing)?.user_list()?)),
        User::Create { who, password, approval } => {
            let client = approved(&session.client(cluster, Need::Login)?, &approval)?;
            let name = who.username.parse()?;
            client.user_create(&name, who.role, &prompt::to_set(password)?)?
        }
        User::Delete { who, approval } => {
            let client = approved(&session.client(cluster, Need::Login)?, &approval)?;
            client.user_delete(&who.username.parse()?, who.role)?
        }
        User::Replicate { who, between, approval } => return replicate::user(session, &who, &between, &approval),
        User::ChangePassword { who, password, approval, deregister_mfa, deregister_quorum } => {
            let client = approved(&session.client(cluster, Need::Login)?, &approval)?;
            let name = who.username.parse()?;
            let (mfa, quorum) = (deregister_mfa.unwrap_or(false), deregister_quorum.unwrap_or(false));
            let password = prompt::to_set(password)?;
            client.user_change_password_and_keys(&name, who.role, &password, Deregister { mfa, quorum })?
        }
        User::ChangeMfa(command) => quorum::change_mfa(&session.client(cluster, Need::Login)?, command)?,
        User::ChangeQuorum(ChangeQuorum::TokenSign(command)) => {
            let ChangeQuorumTokenSign::Register { public_key, signed_token } = command;
            quorum::register(&session.client(cluster, Need::Login)?, &public_key, &signed_token)?
        }
    };
    Ok(output::user(&user))
}
