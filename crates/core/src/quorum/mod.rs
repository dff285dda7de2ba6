//! What several users must approve: tokens, values, and who counts.
//!
//! * Whose signatures verify is found out by the HSM; whom they count for is decided here, on the state that the change
//!   commits on.
//! * A token goes in the same batch as the change that it allowed. All batches are one sequence, so none allows two.
//! * A token is good while its login stands. Nothing has to remove the tokens of a login that ends.

mod remaining;
mod tokens;
mod values;

use std::collections::BTreeSet;

use strongroom_types::{KeyReference, QuorumService, QuorumSubject, Refusal, Role, Status, TokenId, TokenKey};

use crate::permissions::service_of;
use crate::plan::{Asking, internal};
use crate::records::Outcome;
use crate::{Actor, Approval, Approver, Command, Effect, Key, Plan, QuorumToken, Request, SourceKey, State, User};

pub(crate) use remaining::{check_admins_remain, check_deletion, check_unshare};
pub use tokens::{APPROVAL_DATA_LEN, ListedToken, TokenView, approval_data, list_tokens, token_in};
pub(crate) use tokens::{check_generate, delete_all, generate, is_live, register};
pub use values::quorum_values;
pub(crate) use values::{check_key_values, check_set_seconds, check_set_value, set_seconds, set_value};

/// What a command must be approved for, and by how many.
struct Need {
    subject: QuorumSubject,
    value: u8,
}

/// The tokens that the command uses up. Refuses a command that is not approved as it must be.
pub(crate) fn check(asking: &Asking<'_>, command: &Command) -> Result<BTreeSet<TokenId>, Refusal> {
    needs(asking, command)?.iter().map(|need| approved(asking, need)).collect()
}

fn needs(asking: &Asking<'_>, command: &Command) -> Result<Vec<Need>, Refusal> {
    if let Command::UseApproved { keys, .. } = command {
        let subjects: BTreeSet<QuorumSubject> = keys.iter().copied().collect();
        return Ok(subjects.into_iter().filter_map(|subject| of_key(asking.state, subject)).collect());
    }
    let Some(service) = service_of(command.operation()) else { return Ok(Vec::new()) };
    let by_admin = asking.user()?.role == Role::Admin;
    if service.is_of_key() {
        // An owner and those they choose must not keep an admin from taking trust back.
        let key = command.managed_key().filter(|_| !by_admin);
        let subject = key.map(|key| QuorumSubject { service, key: Some(key) });
        return Ok(subject.and_then(|subject| of_key(asking.state, subject)).into_iter().collect());
    }
    // What crypto users may do of it is to change themselves.
    let value = if by_admin { asking.state.quorum_values().of(service) } else { 1 };
    let need = Need { subject: QuorumSubject { service, key: None }, value };
    Ok(Some(need).filter(|need| need.value > 1).into_iter().collect())
}

fn of_key(state: &State, subject: QuorumSubject) -> Option<Need> {
    let value = state.key(subject.key?)?.quorum.of(subject.service);
    Some(Need { subject, value }).filter(|need| need.value > 1)
}

/// The token of the actor's by which enough users approve.
fn approved(asking: &Asking<'_>, need: &Need) -> Result<TokenId, Refusal> {
    let mut otherwise = None;
    for approval in &asking.request.approvals {
        match own_token(asking, approval, need.subject) {
            Ok(token) => {
                let count = counted(asking.state, need.subject, &approval.approvers);
                if count >= usize::from(need.value) {
                    return Ok(token.id);
                }
                let about = format!("{count} of the {} approvals that are needed count", need.value);
                otherwise = Some(Refusal::new(missing(need.subject.service), about));
            }
            Err(refusal) => {
                otherwise.get_or_insert(refusal);
            }
        }
    }
    Err(otherwise.unwrap_or_else(|| missing(need.subject.service).into()))
}

fn missing(service: QuorumService) -> Status {
    if service.is_of_key() { Status::QuorumFailed } else { Status::QuorumRequired }
}

/// The token of an approval, if it is one of the actor's login, for this.
fn own_token<'a>(asking: &Asking<'a>, approval: &Approval, subject: QuorumSubject) -> Result<&'a QuorumToken, Refusal> {
    // Used, ended or never there: which of them is not known any more.
    let token = asking.state.quorum_token(approval.token).ok_or(Status::QuorumRequired)?;
    usable(asking, token)?;
    if token.subject != subject {
        let key = token.subject.key.map(|key| format!(" of key {key}")).unwrap_or_default();
        let about = format!("it is one for {}{key}", token.subject.service);
        return Err(Refusal::new(Status::QuorumTokenInvalid, about));
    }
    Ok(token)
}

/// Whether the actor may use the token now.
fn usable(asking: &Asking<'_>, token: &QuorumToken) -> Result<(), Refusal> {
    let Actor::Login(login) = asking.actor else { return Err(internal("login")) };
    if (token.user, token.login) != (login.user, login.login) {
        let about = "it is good in the login that made it alone; make it and use it in one interactive session";
        return Err(Refusal::new(Status::QuorumTokenInvalid, about));
    }
    if !is_live(asking.state, token, asking.now_ms) {
        return Err(Refusal::new(Status::QuorumTokenInvalid, "it has run out or was deleted; make another one"));
    }
    Ok(())
}

/// How many of the approvers count: users of today who may approve this, each with the key that is registered today. A key
/// that several users have registered counts once: under one signature of it any of their names could be written.
fn counted(state: &State, subject: QuorumSubject, approvers: &[Approver]) -> usize {
    let counts = |approver: &&Approver| {
        let user = state.user(approver.user);
        user.is_some_and(|user| may_approve(state, subject, user) && user.quorum_key.as_ref() == Some(&approver.key))
    };
    approvers.iter().filter(counts).map(|approver| &approver.key).collect::<BTreeSet<&TokenKey>>().len()
}

fn may_approve(state: &State, subject: QuorumSubject, user: &User) -> bool {
    match subject.key {
        None => user.role == Role::Admin,
        Some(key) => user.role == Role::CryptoUser && state.key(key).is_some_and(|key| is_associated(key, user)),
    }
}

/// Whether the user is one of those who approve what is done with the key.
fn is_associated(key: &Key, user: &User) -> bool {
    key.owner == user.id || key.shared.contains(&user.id)
}

/// Whether the tokens of this request's use of keys were spent: by this user, for this very operation with its data. The
/// receipt says so, and for as long as it is kept.
pub(crate) fn is_use_approved(state: &State, actor: &Actor, request: &Request) -> bool {
    let receipt = state.receipt(request.id);
    receipt.is_some_and(|receipt| {
        (receipt.asker, receipt.digest) == (actor.asker(), request.digest) && receipt.outcome == Outcome::Done
    })
}

/// The use of keys that several users approve. That it changes nothing but its tokens is so because using a key does not.
pub(crate) fn check_use(asking: &Asking<'_>, keys: &[QuorumSubject]) -> Result<(), Refusal> {
    let user = asking.user()?;
    let visible = |subject: &QuorumSubject| {
        let key = subject.key.and_then(|key| asking.state.key(key));
        key.is_some_and(|key| key.is_visible_to(user.id))
    };
    if keys.iter().all(visible) { Ok(()) } else { Err(Status::KeyUnknown.into()) }
}

pub(crate) fn use_approved(asking: &Asking<'_>) -> Plan {
    asking.done(Vec::new(), Effect::Revoking)
}

impl Command {
    /// The key that the command manages, if it is one of those that its users may have to approve.
    fn managed_key(&self) -> Option<KeyReference> {
        match self {
            Command::ShareKey { key, .. } | Command::UnshareKey { key, .. } | Command::SetAttribute { key, .. } => {
                Some(*key)
            }
            Command::UnwrapKey { with: SourceKey::Stored(key), .. }
            | Command::DeriveKey { base: SourceKey::Stored(key), .. } => Some(*key),
            _ => None,
        }
    }
}
