//! `key replicate` and `user replicate`: what one cluster seals, its clone takes.

use strongroom_client::{Client, ClientError, KeyInfo};
use strongroom_types::{FilterTerm, Refusal, Role, Status, UserName};

use super::quorum::approved;
use super::{Outcome, single};
use crate::arguments::{Approval, Between, Who};
use crate::error::ExpectedError;
use crate::output;
use crate::session::{Need, Session};

/// `key replicate`.
pub fn key(session: &mut Session, source: &Client, filter: Vec<FilterTerm>, between: &Between) -> Outcome {
    let destination = session.destination(between)?;
    let key = single(source, filter)?;
    let replica = source.key_export(key.reference, &between.destination_cluster_id)?;
    let taken = destination.key_replicate(&replica).map_err(|error| match missing(&destination, &key, &error) {
        Some(names) => ExpectedError::ReplicaUsers { names, source: error },
        None => failed("Key", &destination, error),
    })?;
    let is_admin = destination.logged_in().is_some_and(|login| login.role == Role::Admin);
    Ok(output::replicated_key(&taken, !is_admin))
}

/// `user replicate`.
pub fn user(session: &mut Session, who: &Who, between: &Between, approval: &Approval) -> Outcome {
    session.check_between(between)?;
    let source = session.client(Some(&between.source_cluster_id), Need::Login)?;
    let destination = approved(&session.destination(between)?, approval)?;
    let replica = source.user_export(&who.username.parse()?, who.role, &between.destination_cluster_id)?;
    let user = destination.user_replicate(&replica).map_err(|error| failed("User", &destination, error))?;
    Ok(output::replicated_user(&user))
}

/// Who of a key's users the destination does not have under that name, when it says that some are missing. A user of the same
/// name who is another one is not seen here; the refusal itself counts ids.
fn missing(destination: &Client, key: &KeyInfo, error: &ClientError) -> Option<Vec<UserName>> {
    let ClientError::Refused(Refusal { status: Status::ReplicaUsersMissing, .. }) = error else { return None };
    let there = destination.user_list().ok()?;
    let is_missing = |name: &&UserName| !there.iter().any(|user| user.name == **name && user.role == Role::CryptoUser);
    let names: Vec<UserName> =
        std::iter::once(&key.owner).chain(&key.shared_with).filter(is_missing).cloned().collect();
    Some(names).filter(|names| !names.is_empty())
}

/// What the original tool says with a number of connections. A cluster's HSMs are of one mind: what one refuses, all do.
fn failed(what: &'static str, destination: &Client, error: ClientError) -> ExpectedError {
    let ClientError::Refused(Refusal {
        status: Status::KeyReplicaConflict | Status::UserReplicaConflict | Status::ReplicaUnsupported,
        ..
    }) = &error
    else {
        return error.into();
    };
    match destination.hello() {
        Ok(hello) => {
            let hsms = hello.members.iter().filter(|member| member.serving).count();
            ExpectedError::Replicate { what, hsms, source: error }
        }
        Err(_) => error.into(),
    }
}
