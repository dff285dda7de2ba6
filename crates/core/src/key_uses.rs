//! How often a key encrypts and wraps by GCM: the initialisation vectors are random, so uses of one key are bounded
//! (SP 800-38D §8.3).
//!
//! An HSM reserves uses in the key's record before it makes them, some at a time. What an HSM had reserved and not used when
//! it ended is lost.

use std::sync::Arc;

use strongroom_types::limits::KEY_USES_MAX;
use strongroom_types::{KeyReference, KeyType, Refusal, Status};

use crate::plan::Asking;
use crate::{Effect, Key, Outcome, Plan, PlanError, Planned, Record, Reply, State, keys};

/// How many uses of this key no HSM has reserved yet.
pub fn uses_left(key: &Key) -> u64 {
    KEY_USES_MAX.saturating_sub(key.uses_reserved)
}

/// The key, of which something can still be reserved.
pub(crate) fn check(state: &State, reference: KeyReference) -> Result<&Arc<Key>, Refusal> {
    let key = state.key(reference).ok_or(Status::KeyUnknown)?;
    if key.attributes.key_type != KeyType::Aes {
        return Err(Status::KeyTypeInconsistent.into());
    }
    if uses_left(key) == 0 { Err(Status::KeyUsesExhausted.into()) } else { Ok(key) }
}

/// Reserves as many as are wanted, or as are left.
pub(crate) fn reserve(asking: &Asking<'_>, reference: KeyReference, uses: u64) -> Result<Plan, PlanError> {
    let key = check(asking.state, reference)?;
    let granted = uses.min(uses_left(key));
    let uses_reserved = key.uses_reserved.saturating_add(granted);
    let key = Key { uses_reserved, ..keys::rewritten(asking, key) };
    let effect = Effect::Granting;
    let puts = vec![Record::Key(key), asking.receipt(Outcome::Done, effect)];
    Ok(Plan::Change(Planned { puts, deletes: Vec::new(), reply: Reply::Uses(granted), effect }))
}
