//! Nobody is locked out by arithmetic: what would leave fewer users than must approve something is refused beforehand.

use strongroom_types::{Refusal, Role, Status, UserId};

use crate::index::Term;
use crate::plan::Asking;
use crate::{Key, State, User};

/// How many admins have a key to approve with, this one not counted.
pub(super) fn registered_admins(state: &State, without: Option<UserId>) -> usize {
    let approves = |user: &&User| user.role == Role::Admin && user.quorum_key.is_some() && Some(user.id) != without;
    state.users().filter(approves).count()
}

/// Refuses that this user's key, or the user, goes, when then too few admins could approve.
pub(crate) fn check_admins_remain(asking: &Asking<'_>, user: &User) -> Result<(), Refusal> {
    let value = asking.state.quorum_values().highest();
    if user.role != Role::Admin || user.quorum_key.is_none() || value <= 1 {
        return Ok(());
    }
    let left = registered_admins(asking.state, Some(user.id));
    if left >= usize::from(value) {
        return Ok(());
    }
    let about = format!(
        "{left} admins with a registered key would be left, and a quorum value is {value}; lower it first, or register another admin"
    );
    Err(Refusal::new(Status::QuorumTooFew, about))
}

/// Refuses a deletion that leaves too few admins, or too few users of a key.
pub(crate) fn check_deletion(asking: &Asking<'_>, user: &User) -> Result<(), Refusal> {
    check_admins_remain(asking, user)?;
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
