//! Nobody is locked out by arithmetic: what would leave fewer users than must approve something is refused beforehand.

use std::collections::BTreeSet;

use strongroom_types::{Refusal, Role, Status, TokenKey, UserId};

use crate::index::Term;
use crate::plan::Asking;
use crate::{Key, State, User};

/// With how many keys admins can approve, when one of them has another key or none. A key that two have registered counts
/// once, as its approvals do.
fn approving_keys<'s>(state: &'s State, changed: Option<(UserId, Option<&'s TokenKey>)>) -> usize {
    let key_of = |user: &'s User| match changed {
        Some((id, key)) if id == user.id => key,
        _ => user.quorum_key.as_ref(),
    };
    state.users().filter(|user| user.role == Role::Admin).filter_map(key_of).collect::<BTreeSet<&TokenKey>>().len()
}

/// How many admins have a key of their own to approve with.
pub(super) fn registered_admins(state: &State) -> usize {
    approving_keys(state, None)
}

/// Refuses that this user approves with another key from now on, or with none, when then too few admins could approve.
pub(crate) fn check_admins_remain(asking: &Asking<'_>, user: &User, key: Option<&TokenKey>) -> Result<(), Refusal> {
    let value = asking.state.quorum_values().highest();
    if user.role != Role::Admin || value <= 1 {
        return Ok(());
    }
    let left = approving_keys(asking.state, Some((user.id, key)));
    if left >= usize::from(value) || left >= registered_admins(asking.state) {
        return Ok(());
    }
    let about = format!(
        "{left} admins with a registered key of their own would be left, and a quorum value is {value}; lower it first, or \
         register another admin"
    );
    Err(Refusal::new(Status::QuorumTooFew, about))
}

/// Refuses a deletion that leaves too few admins, or too few users of a key.
pub(crate) fn check_deletion(asking: &Asking<'_>, user: &User) -> Result<(), Refusal> {
    check_admins_remain(asking, user, None)?;
    let shared = asking.state.index.iter(&Term::Shared(user.id));
    let mut keys = shared.filter_map(|reference| asking.state.key(reference));
    keys.try_for_each(|key| check_unshare(asking, key, user.id))
}

/// Refuses to take a user off a key's list when then too few users would be left.
pub(crate) fn check_unshare(asking: &Asking<'_>, key: &Key, user: UserId) -> Result<(), Refusal> {
    let value = key.quorum.highest();
    if value <= 1 || !key.shared.contains(&user) {
        return Ok(());
    }
    // Users who are gone stay on a list until it is next written.
    let stays = |other: &&UserId| **other != user && asking.state.user(**other).is_some();
    let left = 1 + key.shared.iter().filter(stays).count();
    if left >= usize::from(value) {
        return Ok(());
    }
    let about = format!("{left} users of key {} would be left, and a quorum value of it is {value}", key.reference);
    Err(Refusal::new(Status::QuorumTooFew, about))
}
