//! `key replicate` and `user replicate`: what one cluster seals, its clone takes.

use strongroom_client::{Client, ClientError};
use strongroom_types::{FilterTerm, Refusal, Role, Status};

use super::{Outcome, single};
use crate::arguments::{Between, Who};
use crate::error::ExpectedError;
use crate::output;
use crate::session::{Need, Session};

/// `key replicate`.
pub fn key(session: &mut Session, source: &Client, filter: Vec<FilterTerm>, between: &Between) -> Outcome {
    let destination = session.destination(between)?;
    let key = single(source, filter)?;
    let replica = source.key_export(key.reference, &between.destination_cluster_id)?;
    let key = destination.key_replicate(&replica).map_err(|error| failed(&destination, error))?;
    let is_admin = destination.logged_in().is_some_and(|login| login.role == Role::Admin);
    Ok(output::replicated_key(&key, !is_admin))
}

/// `user replicate`.
pub fn user(session: &mut Session, who: &Who, between: &Between) -> Outcome {
    session.check_between(between)?;
    let source = session.client(Some(&between.source_cluster_id), Need::Login)?;
    let destination = session.destination(between)?;
    let replica = source.user_export(&who.username.parse()?, who.role, &between.destination_cluster_id)?;
    let user = destination.user_replicate(&replica).map_err(|error| failed(&destination, error))?;
    Ok(output::replicated_user(&user))
}

/// What the original tool says with a number of connections. A cluster's HSMs are of one mind: what one refuses, all do.
fn failed(destination: &Client, error: ClientError) -> ExpectedError {
    let what = match &error {
        ClientError::Refused(Refusal { status: Status::KeyReplicaConflict, .. }) => "Key",
        ClientError::Refused(Refusal { status: Status::UserReplicaConflict | Status::ReplicaUnsupported, .. }) => {
            "User"
        }
        _ => return error.into(),
    };
    match destination.hello() {
        Ok(hello) => {
            let hsms = hello.members.iter().filter(|member| member.serving).count();
            ExpectedError::Replicate { what, hsms, source: error }
        }
        Err(_) => error.into(),
    }
}
