//! Uses of keys by GCM that this HSM has reserved in their records and not made yet.
//!
//! * A use takes one from a number in memory. The store is asked at a key's first use, and while a quarter of what was
//!   reserved is left, by a thread of its own: no use waits for it as long as some are left.
//! * What is reserved grows with each time, so that a key that is used seldom loses little when the HSM ends, and one that
//!   is used much asks seldom.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use strongroom_core::{Actor, Command, Made, Reply, Request, uses_left};
use strongroom_crypto::random;
use strongroom_types::limits::KEY_USES_MAX;
use strongroom_types::{KeyReference, Refusal, RequestId, Status};

use crate::cluster::{Change, ChangeError, Cluster};
use crate::log::{Level, Log};

/// How many uses are reserved at once: the first time in this process, the second, and from then on.
const BLOCKS: [u64; 3] = [1 << 16, 1 << 20, 1 << 24];
/// How long the thread that reserves ahead waits for the store, for one key.
const AHEAD_MS: u64 = 5_000;
/// Locks that requests for different keys share; more of them than threads that encrypt at once.
const SHARDS: usize = 16;
/// At so many uses that are left of a key its operator is told: half of them, and an eighth.
const STEPS: [u64; 2] = [KEY_USES_MAX / 2, KEY_USES_MAX / 8];

/// What this HSM may still make of one key's uses.
#[derive(Default)]
struct Uses {
    left: AtomicU64,
    /// At this many, more are reserved ahead.
    low: AtomicU64,
    /// How often some were reserved.
    reserved: AtomicUsize,
    /// How many of the steps the log has a line of.
    steps: AtomicUsize,
    /// Whether the thread that reserves ahead was told.
    told: AtomicBool,
    /// Whether somebody is reserving.
    reserving: Mutex<bool>,
    ended: Condvar,
}

type Shard = HashMap<KeyReference, Arc<Uses>>;

/// The keys' uses.
#[derive(Default)]
pub struct KeyUses {
    shards: [RwLock<Shard>; SHARDS],
}

/// Takes uses of keys, and reserves them.
pub struct Reserver {
    cluster: Arc<Cluster>,
    uses: Arc<KeyUses>,
    log: Arc<Log>,
    /// To the thread that reserves ahead, which begins when it is first wanted and ends with this.
    ahead: OnceLock<Option<Sender<KeyReference>>>,
}

impl KeyUses {
    /// Forgets a key that is gone.
    pub fn remove(&self, reference: KeyReference) {
        self.shard(reference).write().unwrap_or_else(PoisonError::into_inner).remove(&reference);
    }

    fn of(&self, reference: KeyReference) -> Arc<Uses> {
        let shard = self.shard(reference);
        if let Some(found) = shard.read().unwrap_or_else(PoisonError::into_inner).get(&reference) {
            return Arc::clone(found);
        }
        Arc::clone(shard.write().unwrap_or_else(PoisonError::into_inner).entry(reference).or_default())
    }

    fn shard(&self, reference: KeyReference) -> &RwLock<Shard> {
        // References are random.
        &self.shards[usize::try_from(reference.as_u64() % 16).expect("less than the number of shards")]
    }

    /// How many keys are known here.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// As if somebody were reserving, or had done so.
    #[cfg(test)]
    pub(crate) fn set_reserving(&self, reference: KeyReference, reserving: bool) {
        let uses = self.of(reference);
        *uses.reserving.lock().unwrap_or_else(PoisonError::into_inner) = reserving;
        uses.ended.notify_all();
    }

    /// How many threads are taking a use.
    #[cfg(test)]
    pub(crate) fn taking(&self, reference: KeyReference) -> usize {
        // The map's own and this one.
        Arc::strong_count(&self.of(reference)) - 2
    }

    /// As if all but so many had been used.
    #[cfg(test)]
    pub(crate) fn use_all_but(&self, reference: KeyReference, left: u64) {
        self.of(reference).left.store(left, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn left(&self, reference: KeyReference) -> u64 {
        self.of(reference).left.load(Ordering::Relaxed)
    }
}

impl Uses {
    /// Takes one; answers how many are left then, or none when there was none.
    fn take(&self) -> Option<u64> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        taken.ok().map(|before| before - 1)
    }
}

/// Somebody's turn to reserve; the next one's when this is dropped.
struct TurnOf<'a>(&'a Uses);

impl Drop for TurnOf<'_> {
    fn drop(&mut self) {
        *self.0.reserving.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.ended.notify_all();
    }
}

impl Reserver {
    /// For this HSM.
    pub fn new(cluster: Arc<Cluster>, uses: Arc<KeyUses>, log: Arc<Log>) -> Reserver {
        Reserver { cluster, uses, log, ahead: OnceLock::new() }
    }

    /// Takes one use of a key of the store, for which the caller is permitted. Waits for the store only when none is left;
    /// whether it did.
    pub fn take(&self, reference: KeyReference, deadline: Instant) -> Result<bool, Refusal> {
        let uses = self.uses.of(reference);
        let mut waited = false;
        loop {
            if let Some(left) = uses.take() {
                if left <= uses.low.load(Ordering::Relaxed) && !uses.told.swap(true, Ordering::Relaxed) {
                    self.tell(reference, &uses);
                }
                return Ok(waited);
            }
            waited = true;
            reserve(&self.cluster, (&self.uses, &uses), reference, 0, deadline, &self.log)?;
        }
    }

    /// Has more reserved ahead.
    fn tell(&self, reference: KeyReference, uses: &Uses) {
        let sender = self.ahead.get_or_init(|| {
            let (sender, receiver) = channel();
            let (cluster, uses) = (Arc::downgrade(&self.cluster), Arc::downgrade(&self.uses));
            let log = Arc::clone(&self.log);
            let named = thread::Builder::new().name("key uses".to_owned());
            named.spawn(move || reserve_ahead(&receiver, &cluster, &uses, &log)).ok().map(|_| sender)
        });
        let is_told = sender.as_ref().is_some_and(|sender| sender.send(reference).is_ok());
        if !is_told {
            // Then it is reserved when none is left.
            uses.told.store(false, Ordering::Relaxed);
        }
    }
}

/// The thread: reserves for one key after the other.
fn reserve_ahead(wanted: &Receiver<KeyReference>, cluster: &Weak<Cluster>, uses: &Weak<KeyUses>, log: &Log) {
    while let Ok(reference) = wanted.recv() {
        let (Some(cluster), Some(uses)) = (cluster.upgrade(), uses.upgrade()) else { return };
        let (all, uses) = (&uses, uses.of(reference));
        let deadline = Instant::now() + Duration::from_millis(AHEAD_MS);
        let outcome = reserve(&cluster, (all, &uses), reference, uses.low.load(Ordering::Relaxed), deadline, log);
        if let Err(refusal) = outcome
            && !matches!(refusal.status, Status::KeyUsesExhausted | Status::KeyUnknown)
        {
            log.client(Level::Warn, format_args!("no uses of key {reference} were reserved ahead: {refusal}"));
        }
        uses.told.store(false, Ordering::Relaxed);
    }
}

/// Reserves once more, unless more than so many are left meanwhile: one at a time for each key.
fn reserve(
    cluster: &Cluster,
    (all, uses): (&KeyUses, &Uses),
    reference: KeyReference,
    enough: u64,
    deadline: Instant,
    log: &Log,
) -> Result<(), Refusal> {
    let mut reserving = uses.reserving.lock().unwrap_or_else(PoisonError::into_inner);
    while *reserving {
        let wait = deadline.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Err(Refusal::new(Status::StoreUnavailable, "uses of the key could not be reserved in time"));
        }
        reserving = uses.ended.wait_timeout(reserving, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
    if uses.left.load(Ordering::Relaxed) > enough {
        return Ok(());
    }
    *reserving = true;
    drop(reserving);
    let _turn = TurnOf(uses);
    // Told without asking the store.
    if cluster.state().key(reference).is_some_and(|key| uses_left(key) == 0) {
        return Err(Status::KeyUsesExhausted.into());
    }
    let times = uses.reserved.load(Ordering::Relaxed);
    let wanted = BLOCKS[times.min(BLOCKS.len() - 1)];
    let request = Request::new(RequestId::from_bytes(random::bytes()), random::bytes());
    let command = Command::ReserveUses { key: reference, uses: wanted };
    let change = Change { actor: Actor::Hsm, command, made: Made::Nothing, request };
    match cluster.change(change, deadline) {
        Ok(changed) => {
            // A repeat of what was committed says no number: those uses are lost, and asked for again.
            let Reply::Uses(granted) = changed.reply else { return Ok(()) };
            uses.low.store(granted / 4, Ordering::Relaxed);
            uses.reserved.store(times + 1, Ordering::Relaxed);
            uses.left.fetch_add(granted, Ordering::Relaxed);
            if let Some(key) = cluster.state().key(reference) {
                note_step(uses, reference, uses_left(key), log);
            }
            Ok(())
        }
        Err(ChangeError::Refused(refusal)) => {
            // Whoever asked last may have come after the key's end was seen, and nobody forgets it again.
            if refusal.status == Status::KeyUnknown && cluster.state().key(reference).is_none() {
                all.remove(reference);
            }
            Err(refusal)
        }
        Err(ChangeError::DrawAgain) => Err(Status::Internal.into()),
    }
}

/// Tells whoever operates the HSM that a key comes to its end: once for each step in a life of the HSM.
fn note_step(uses: &Uses, reference: KeyReference, left: u64, log: &Log) {
    let step = step_of(left);
    if uses.steps.fetch_max(step, Ordering::Relaxed) < step {
        let reserved = KEY_USES_MAX - left;
        log.warn(format_args!(
            "{reserved} of the {KEY_USES_MAX} uses of key {reference} by AES-GCM are gone; at the end it encrypts and wraps \
             by AES-GCM no more: replace it in time"
        ));
    }
}

fn step_of(left: u64) -> usize {
    STEPS.iter().filter(|step| left <= **step).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_at_half_and_at_an_eighth() {
        let check = |left: u64, step: usize| assert_eq!(step_of(left), step, "{left}");
        check(KEY_USES_MAX, 0);
        check(KEY_USES_MAX / 2 + 1, 0);
        check(KEY_USES_MAX / 2, 1);
        check(KEY_USES_MAX / 8 + 1, 1);
        check(KEY_USES_MAX / 8, 2);
        check(0, 2);
    }
}
