//! Making, deleting and changing users.

use std::sync::Arc;

use strongroom_types::{Refusal, Role, Status, UserId, UserName};

use crate::plan::{Asking, internal};
use crate::records::{Lock, Outcome};
use crate::{Credential, Effect, Plan, PlanError, Planned, Record, Reply, User, UserView, receipts};

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
        creation: Some(asking.creation()),
        created_ms: asking.now_ms,
    };
    let reply = Reply::User { user: UserView::of(&user, asking.now_ms), renewed: None };
    let (puts, deletes) = (vec![Record::User(user)], Vec::new());
    Ok(Plan::Change(Planned { puts, deletes, reply, effect: Effect::Granting }))
}

/// The user of a name and role that may be managed.
fn managed<'a>(asking: &Asking<'a>, name: &UserName, role: Role) -> Result<&'a Arc<User>, Refusal> {
    let user = asking.state.user_named(name).filter(|user| user.role == role || user.role == Role::ApplianceUser);
    let user = user.ok_or_else(|| Refusal::new(Status::UserUnknown, name.as_str()))?;
    match user.role {
        Role::Admin | Role::CryptoUser => Ok(user),
        Role::ApplianceUser | Role::UnactivatedAdmin => Err(Refusal::new(Status::UserInternal, name.as_str())),
    }
}

pub(crate) fn check_delete<'a>(asking: &Asking<'a>, name: &UserName, role: Role) -> Result<&'a Arc<User>, Refusal> {
    let user = managed(asking, name, role)?;
    if asking.state.owned_keys_len(user.id) > 0 {
        return Err(Refusal::new(Status::UserOwnsKeys, name.as_str()));
    }
    let mut others = asking.state.users().filter(|other| other.role == Role::Admin && other.id != user.id);
    // One who is locked for a while will be able to log in again.
    if user.role == Role::Admin && !others.any(|other| other.lock != Lock::Locked) {
        return Err(Refusal::new(Status::LastAdmin, name.as_str()));
    }
    Ok(user)
}

/// The user's logins end with the record. Keys shared with them keep their id, which is never given again; it leaves
/// a key's record when that is next written.
pub(crate) fn delete(asking: &Asking<'_>, name: &UserName, role: Role) -> Result<Plan, PlanError> {
    let user = check_delete(asking, name, role)?;
    let effect = Effect::Revoking;
    let outcome = Outcome::User { name: user.name.clone(), role: user.role, renewed: None };
    let outlived = user.creation.as_ref();
    let outlived =
        outlived.and_then(|creation| receipts::outlive(creation, user.created_ms, Outcome::UserGone, asking.now_ms));
    let puts = outlived.into_iter().chain([asking.receipt(outcome, effect)]).collect();
    let reply = Reply::User { user: UserView::of(user, asking.now_ms), renewed: None };
    Ok(Plan::Change(Planned { puts, deletes: vec![User::path_of(user.id)], reply, effect }))
}

pub(crate) fn check_change_password<'a>(
    asking: &Asking<'a>,
    name: &UserName,
    role: Role,
) -> Result<&'a Arc<User>, Refusal> {
    let own = asking.user()?;
    // Before the name is looked up, so that a crypto user learns nothing.
    if own.role != Role::Admin && (&own.name, own.role) != (name, role) {
        return Err(Status::RoleNotPermitted.into());
    }
    managed(asking, name, role)
}

/// Unlocks the user and ends every login that rests on the old password. Who changed their own goes on with a renewed
/// ticket ([`Reply::User`]).
pub(crate) fn change_password(
    asking: &Asking<'_>,
    name: &UserName,
    role: Role,
    credential: &Credential,
) -> Result<Plan, PlanError> {
    let old = check_change_password(asking, name, role)?;
    let credential = whole(credential)?.clone();
    let renewed = (asking.user()?.id == old.id).then_some(credential.id);
    let user = User { credential: Some(credential), failures: 0, lock: Lock::Open, ..User::clone(old) };
    let effect = Effect::Revoking;
    let outcome = Outcome::User { name: user.name.clone(), role: user.role, renewed };
    let reply = Reply::User { user: UserView::of(&user, asking.now_ms), renewed };
    let puts = vec![Record::User(user), asking.receipt(outcome, effect)];
    Ok(Plan::Change(Planned { puts, deletes: Vec::new(), reply, effect }))
}

/// A hash of the right length that cost something.
pub(crate) fn whole(credential: &Credential) -> Result<&Credential, Refusal> {
    let whole = credential.hash.len() == PASSWORD_HASH_LEN && credential.iterations > 0;
    if whole { Ok(credential) } else { Err(internal("credential")) }
}
