//! Making, deleting and changing users.

use std::sync::Arc;

use strongroom_types::{Refusal, Role, Status, UserId, UserName};

use crate::permissions::{Operation, permit};
use crate::plan::{Asking, internal};
use crate::records::{Lock, Outcome};
use crate::{
    Actor, Certificate, Credential, Deregister, Effect, MfaChange, Plan, PlanError, Planned, Record, Reply, State,
    User, UserView, challenge, quorum, receipts,
};

/// Bytes of a password's hash: PBKDF2-HMAC-SHA-512's whole output.
const PASSWORD_HASH_LEN: usize = 64;

pub(crate) fn check_create(asking: &Asking<'_>, name: &UserName, role: Role) -> Result<(), Refusal> {
    if asking.state.user_named(name).is_some() {
        return Err(Refusal::new(Status::UserExists, name.as_str()));
    }
    if !matches!(role, Role::Admin | Role::CryptoUser) {
        return Err(Refusal::new(Status::UserInternal, name.as_str()));
    }
    let users_max = asking.state.cluster().map_or(0, |cluster| cluster.capacity().users_max);
    if asking.state.users_len() >= users_max {
        return Err(Refusal::new(Status::UsersFull, format!("{users_max} users")));
    }
    Ok(())
}

pub(crate) fn create(
    asking: &Asking<'_>,
    name: &UserName,
    role: Role,
    id: UserId,
    credential: &Credential,
) -> Result<Plan, PlanError> {
    if asking.state.user(id).is_some() {
        return Err(PlanError::DrawAgain);
    }
    let user = User {
        id,
        name: name.clone(),
        role,
        credential: Some(whole(credential)?.clone()),
        failures: 0,
        lock: Lock::Open,
        mfa_key: None,
        quorum_key: None,
        creation: Some(asking.creation()),
        created_ms: asking.now_ms,
    };
    let reply = Reply::User { user: UserView::of(&user, asking.now_ms), renewed: None };
    let (puts, deletes) = (vec![Record::User(user)], Vec::new());
    Ok(Plan::Change(Planned { puts, deletes, reply, effect: Effect::Granting }))
}

/// The user of a name and role that may be managed.
fn managed<'a>(state: &'a State, name: &UserName, role: Role) -> Result<&'a Arc<User>, Refusal> {
    let user = state.user_named(name).filter(|user| user.role == role || user.role == Role::ApplianceUser);
    let user = user.ok_or_else(|| Refusal::new(Status::UserUnknown, name.as_str()))?;
    match user.role {
        Role::Admin | Role::CryptoUser => Ok(user),
        Role::ApplianceUser | Role::UnactivatedAdmin => Err(Refusal::new(Status::UserInternal, name.as_str())),
    }
}

pub(crate) fn check_delete<'a>(asking: &Asking<'a>, name: &UserName, role: Role) -> Result<&'a Arc<User>, Refusal> {
    let user = managed(asking.state, name, role)?;
    if asking.state.owned_keys_len(user.id) > 0 {
        return Err(Refusal::new(Status::UserOwnsKeys, name.as_str()));
    }
    let mut others = asking.state.users().filter(|other| other.role == Role::Admin && other.id != user.id);
    // One who is locked for a while will be able to log in again.
    if user.role == Role::Admin && !others.any(|other| other.lock != Lock::Locked) {
        return Err(Refusal::new(Status::LastAdmin, name.as_str()));
    }
    quorum::check_deletion(asking, user)?;
    Ok(user)
}

/// The user's logins end with the record, and the user's certificates go along: nobody else could delete them. No receipts
/// of theirs are left, because who made them cannot ask again. Keys shared with the user keep the id, which is never given
/// again; it leaves a key's record when that is next written.
pub(crate) fn delete(asking: &Asking<'_>, name: &UserName, role: Role) -> Result<Plan, PlanError> {
    let user = check_delete(asking, name, role)?;
    let effect = Effect::Revoking;
    let outcome = Outcome::User { name: user.name.clone(), role: user.role, renewed: None };
    let outlived = user.creation.as_ref();
    let outlived =
        outlived.and_then(|creation| receipts::outlive(creation, user.created_ms, Outcome::UserGone, asking.now_ms));
    let puts = outlived.into_iter().chain([asking.receipt(outcome, effect)]).collect();
    let reply = Reply::User { user: UserView::of(user, asking.now_ms), renewed: None };
    let certificates = asking.state.certificates_of(Some(user.id));
    let certificates = certificates.map(|certificate| Certificate::path_of(certificate.reference));
    let deletes = certificates.chain([User::path_of(user.id)]).collect();
    Ok(Plan::Change(Planned { puts, deletes, reply, effect }))
}

pub(crate) fn check_change_password<'a>(
    asking: &Asking<'a>,
    name: &UserName,
    role: Role,
    deregister: Deregister,
) -> Result<&'a Arc<User>, Refusal> {
    let user = changeable(asking.state, asking.user()?, name, role)?;
    if deregister.quorum {
        quorum::check_admins_remain(asking, user, None)?;
    }
    Ok(user)
}

/// The user for whom the actor may have a challenge made, in order to enable MFA.
pub fn mfa_target<'s>(
    state: &'s State,
    actor: &Actor,
    name: &UserName,
    role: Role,
    now_ms: u64,
) -> Result<&'s Arc<User>, Refusal> {
    let own = permit(state, actor, Operation::MfaChallenge, now_ms)?.ok_or(Status::NotLoggedIn)?;
    changeable(state, own, name, role)
}

/// The user whom the actor's user may change: crypto users themselves only.
fn changeable<'a>(state: &'a State, own: &User, name: &UserName, role: Role) -> Result<&'a Arc<User>, Refusal> {
    // Before the name is looked up, so that a crypto user learns nothing.
    if own.role != Role::Admin && (&own.name, own.role) != (name, role) {
        return Err(Status::RoleNotPermitted.into());
    }
    managed(state, name, role)
}

/// Unlocks the user and ends every login that rests on the old password. Who changed their own goes on with a renewed
/// ticket ([`Reply::User`]).
pub(crate) fn change_password(
    asking: &Asking<'_>,
    name: &UserName,
    role: Role,
    deregister: Deregister,
    credential: &Credential,
) -> Result<Plan, PlanError> {
    let old = check_change_password(asking, name, role, deregister)?;
    let mfa_key = old.mfa_key.clone().filter(|_| !deregister.mfa);
    let quorum_key = old.quorum_key.clone().filter(|_| !deregister.quorum);
    let user = User { mfa_key, quorum_key, ..User::clone(old) };
    Ok(with_password(asking, user, credential, Vec::new())?)
}

/// The user with a new password, unlocked.
fn with_password(
    asking: &Asking<'_>,
    user: User,
    credential: &Credential,
    mut puts: Vec<Record>,
) -> Result<Plan, Refusal> {
    let credential = whole(credential)?.clone();
    let renewed = (asking.user()?.id == user.id).then_some(credential.id);
    let user = User { credential: Some(credential), failures: 0, lock: Lock::Open, ..user };
    puts.push(Record::User(user.clone()));
    Ok(asking.user_answer(&user, renewed, puts))
}

pub(crate) fn check_change_mfa<'a>(
    asking: &Asking<'a>,
    (name, role): (&UserName, Role),
    change: &MfaChange,
    change_quorum: bool,
) -> Result<&'a Arc<User>, Refusal> {
    let user = changeable(asking.state, asking.user()?, name, role)?;
    match change {
        MfaChange::Disable if change_quorum => quorum::check_admins_remain(asking, user, None)?,
        MfaChange::Disable => {}
        MfaChange::Enable { user: of, challenge, key } => {
            if *of != user.id {
                return Err(Refusal::new(Status::MfaChallengeInvalid, "it was made for another user"));
            }
            challenge::check_unused(asking.state, *challenge, asking.now_ms)?;
            if change_quorum {
                quorum::check_admins_remain(asking, user, Some(key))?;
            }
        }
    }
    Ok(user)
}

/// Like a new password, which this sets too: every login of the user ends, so that none goes on that was made with less than
/// is asked for from now on.
pub(crate) fn change_mfa(
    asking: &Asking<'_>,
    (name, role): (&UserName, Role),
    change: &MfaChange,
    change_quorum: bool,
    credential: &Credential,
) -> Result<Plan, PlanError> {
    let old = check_change_mfa(asking, (name, role), change, change_quorum)?;
    let (mfa_key, quorum_key, puts) = match change {
        MfaChange::Enable { key, challenge, .. } => {
            let kept = old.quorum_key.clone().filter(|_| !change_quorum);
            let quorum_key = kept.unwrap_or_else(|| key.clone());
            (Some(key.clone()), Some(quorum_key), vec![Record::SpentChallenge(*challenge)])
        }
        MfaChange::Disable => (None, old.quorum_key.clone().filter(|_| !change_quorum), Vec::new()),
    };
    let user = User { mfa_key, quorum_key, ..User::clone(old) };
    Ok(with_password(asking, user, credential, puts)?)
}

/// Crypto users delete their own tokens only.
pub(crate) fn check_delete_tokens(asking: &Asking<'_>, of_everybody: bool) -> Result<(), Refusal> {
    if of_everybody && asking.user()?.role != Role::Admin {
        return Err(Refusal::new(Status::RoleNotPermitted, "crypto users delete their own quorum tokens only"));
    }
    Ok(())
}

/// A hash of the right length that cost something.
pub(crate) fn whole(credential: &Credential) -> Result<&Credential, Refusal> {
    let whole = credential.hash.len() == PASSWORD_HASH_LEN && credential.iterations > 0;
    if whole { Ok(credential) } else { Err(internal("credential")) }
}
