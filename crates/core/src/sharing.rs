//! Share lists: who else may use a key. They may neither delete, share, change nor wrap it out.
//!
//! Putting a name on the list grants. Taking it off revokes: also when it was not there, the answer waits until every
//! member knows the list as it stands, because the name may have been taken off a moment ago.

use std::sync::Arc;

use strongroom_types::limits::SHARED_USERS_MAX;
use strongroom_types::{HsmType, KeyReference, Refusal, Role, Status, UserId, UserName};

use crate::plan::Asking;
use crate::{Effect, Key, Plan, PlanError, Record, Reply, keys, quorum};

// Users who are gone leave a list before a name is added, so that no list is ever too long.
const _: () = assert!(HsmType::Hsm1Medium.capacity().users_max <= SHARED_USERS_MAX);
const _: () = assert!(HsmType::Hsm2mMedium.capacity().users_max <= SHARED_USERS_MAX);

/// The key and the user it is, or is to be, shared with.
pub(crate) fn check<'a>(
    asking: &Asking<'a>,
    reference: KeyReference,
    name: &UserName,
    role: Role,
) -> Result<(&'a Arc<Key>, UserId), Refusal> {
    if role != Role::CryptoUser {
        // Whether there is one of that name or not: only crypto users use keys.
        return Err(Refusal::new(Status::RoleNotPermitted, "keys are shared with crypto users only"));
    }
    let user = asking.state.user_named(name).filter(|user| user.role == role);
    let user = user.ok_or_else(|| Refusal::new(Status::UserUnknown, name.as_str()))?;
    Ok((keys::owned(asking, reference)?, user.id))
}

/// The same for taking it back, which leaves enough users to approve what must be approved.
pub(crate) fn check_unshare<'a>(
    asking: &Asking<'a>,
    reference: KeyReference,
    name: &UserName,
    role: Role,
) -> Result<(&'a Arc<Key>, UserId), Refusal> {
    let (key, user) = check(asking, reference, name, role)?;
    quorum::check_unshare(asking, key, user)?;
    Ok((key, user))
}

pub(crate) fn share(
    asking: &Asking<'_>,
    reference: KeyReference,
    name: &UserName,
    role: Role,
) -> Result<Plan, PlanError> {
    let (key, user) = check(asking, reference, name, role)?;
    // The owner on the list would change nothing.
    if user == key.owner || key.shared.contains(&user) {
        return Ok(Plan::Nothing(Reply::Done));
    }
    let mut next = keys::rewritten(asking, key);
    next.shared.insert(user);
    Ok(asking.done(vec![Record::Key(next)], Effect::Granting))
}

pub(crate) fn unshare(
    asking: &Asking<'_>,
    reference: KeyReference,
    name: &UserName,
    role: Role,
) -> Result<Plan, PlanError> {
    let (key, user) = check_unshare(asking, reference, name, role)?;
    if !key.shared.contains(&user) {
        return Ok(asking.done(Vec::new(), Effect::Revoking));
    }
    let mut next = keys::rewritten(asking, key);
    next.shared.remove(&user);
    Ok(asking.done(vec![Record::Key(next)], Effect::Revoking))
}
