//! Uses of keys by GCM that this HSM has reserved in their records and not made yet.
//!
//! * A use takes one from a number in memory. The store is asked at a key's first use, and while a quarter of what was
//!   reserved is left: no use waits for it as long as some are left.
//! * Threads of their own ask, one at a time for each key, and wait until the store has answered. A use that waits for them
//!   gives up at its own deadline, which costs the key nothing: what was reserved is there for the next use.
//! * What is reserved grows with each time, so that a key that is used seldom loses little when the HSM ends, and one that
//!   is used much asks seldom.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};
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
/// How long a thread that reserves waits for the store, for one key: longer than any store hangs that comes back. What is
/// committed later is lost.
const STORE_PATIENCE: Duration = Duration::from_secs(600);
/// Keys for which uses are reserved at once: what several ask for is one batch.
const THREADS: usize = 4;
/// Locks that requests for different keys share; more of them than threads that encrypt at once.
const SHARDS: usize = 16;
/// At so many uses that are left of a key its operator is told: half of them, an eighth, and none.
const STEPS: [u64; 3] = [KEY_USES_MAX / 2, KEY_USES_MAX / 8, 0];

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
    /// Whether a thread is reserving, or will.
    told: AtomicBool,
    ended: Mutex<Ended>,
    again: Condvar,
}

/// What has become of the last time that some were reserved.
#[derive(Default)]
struct Ended {
    /// How many times there were.
    times: u64,
    refusal: Option<Refusal>,
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
    /// To the threads that reserve, which begin when they are first wanted and end with this.
    threads: Mutex<Option<Sender<KeyReference>>>,
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

    /// As if a thread were reserving, or had done so.
    #[cfg(test)]
    pub(crate) fn set_reserving(&self, reference: KeyReference, reserving: bool) {
        let uses = self.of(reference);
        match reserving {
            true => uses.told.store(true, Ordering::SeqCst),
            false => uses.end(Ok(())),
        }
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

    fn ended(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells who waits what has become of it.
    fn end(&self, outcome: Result<(), Refusal>) {
        // Whoever comes from here on has it done again, and whoever came before is told of this time.
        self.told.store(false, Ordering::SeqCst);
        let mut ended = self.ended();
        *ended = Ended { times: ended.times + 1, refusal: outcome.err() };
        self.again.notify_all();
    }

    /// Waits until a time has ended after so many.
    fn wait(&self, times: u64, deadline: Instant) -> Result<(), Refusal> {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.again.wait_timeout_while(self.ended(), left, |ended| ended.times == times);
        let (ended, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &ended.refusal {
            _ if ended.times == times => {
                Err(Refusal::new(Status::StoreUnavailable, "uses of the key could not be reserved in time"))
            }
            Some(refusal) => Err(refusal.clone()),
            None => Ok(()),
        }
    }
}

/// A time that uses are reserved, which ends with this.
struct Time<'a> {
    uses: &'a Uses,
    outcome: Result<(), Refusal>,
}

impl Drop for Time<'_> {
    fn drop(&mut self) {
        self.uses.end(std::mem::replace(&mut self.outcome, Ok(())));
    }
}

impl Reserver {
    /// For this HSM.
    pub fn new(cluster: Arc<Cluster>, uses: Arc<KeyUses>, log: Arc<Log>) -> Reserver {
        Reserver { cluster, uses, log, threads: Mutex::default() }
    }

    /// Takes one use of a key of the store, for which the caller is permitted. Waits for the store only when none is left;
    /// whether it did.
    pub fn take(&self, reference: KeyReference, deadline: Instant) -> Result<bool, Refusal> {
        let uses = self.uses.of(reference);
        let mut waited = false;
        loop {
            if let Some(left) = uses.take() {
                if left <= uses.low.load(Ordering::Relaxed) {
                    // While some are left nobody minds that none can be had.
                    let _ = self.tell(reference, &uses);
                }
                return Ok(waited);
            }
            waited = true;
            let times = uses.ended().times;
            self.tell(reference, &uses)?;
            uses.wait(times, deadline)?;
        }
    }

    /// Has more reserved, unless that is under way.
    fn tell(&self, reference: KeyReference, uses: &Uses) -> Result<(), Refusal> {
        if uses.told.load(Ordering::Relaxed) || uses.told.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.is_none() {
            *threads = self.begin();
        }
        match threads.as_ref().is_some_and(|sender| sender.send(reference).is_ok()) {
            true => Ok(()),
            false => {
                // Others are begun when uses are wanted next.
                *threads = None;
                let refusal = Refusal::new(Status::Busy, "the HSM could not begin a thread that reserves uses of keys");
                uses.end(Err(refusal.clone()));
                Err(refusal)
            }
        }
    }

    /// Begins the threads: as many as there can be; none when there is not one.
    fn begin(&self) -> Option<Sender<KeyReference>> {
        let (sender, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let begun = (0..THREADS).filter(|_| {
            let (cluster, uses) = (Arc::downgrade(&self.cluster), Arc::downgrade(&self.uses));
            let (receiver, log) = (Arc::clone(&receiver), Arc::clone(&self.log));
            let named = thread::Builder::new().name("key uses".to_owned());
            named.spawn(move || reserve_all(&receiver, &cluster, &uses, &log)).is_ok()
        });
        (begun.count() > 0).then_some(sender)
    }
}

/// A thread: reserves for one key after the other.
fn reserve_all(wanted: &Mutex<Receiver<KeyReference>>, cluster: &Weak<Cluster>, uses: &Weak<KeyUses>, log: &Log) {
    let next = || wanted.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(reference) = next() {
        let (Some(cluster), Some(all)) = (cluster.upgrade(), uses.upgrade()) else { return };
        let uses = all.of(reference);
        let mut time = Time { uses: &uses, outcome: Err(Status::Internal.into()) };
        let outcome = reserve(&cluster, &uses, reference);
        if let Some(key) = cluster.state().key(reference) {
            // Whatever came of it here, and whoever has reserved them.
            note_step(&uses, reference, uses_left(key), log);
        } else if outcome.is_err() {
            // Whoever asked last may have come after the key's end was seen, and nobody forgets it again.
            all.remove(reference);
        }
        if let Err(refusal) = &outcome
            && !matches!(refusal.status, Status::KeyUsesExhausted | Status::KeyUnknown)
        {
            log.client(Level::Warn, format_args!("no uses of key {reference} were reserved: {refusal}"));
        }
        time.outcome = outcome;
    }
}

/// Reserves once more, unless more are left than those at which that is done.
fn reserve(cluster: &Cluster, uses: &Uses, reference: KeyReference) -> Result<(), Refusal> {
    if uses.left.load(Ordering::Relaxed) > uses.low.load(Ordering::Relaxed) {
        return Ok(());
    }
    // Told without asking the store.
    if cluster.state().key(reference).is_some_and(|key| uses_left(key) == 0) {
        return Err(Status::KeyUsesExhausted.into());
    }
    let times = uses.reserved.load(Ordering::Relaxed);
    let wanted = BLOCKS[times.min(BLOCKS.len() - 1)];
    let request = Request::new(RequestId::from_bytes(random::bytes()), random::bytes());
    let command = Command::ReserveUses { key: reference, uses: wanted };
    let change = Change { actor: Actor::Hsm, command, made: Made::Nothing, request };
    match cluster.change(change, Instant::now() + STORE_PATIENCE) {
        Ok(changed) => {
            // A repeat of what was committed says no number: those uses are lost, and asked for again.
            let Reply::Uses(granted) = changed.reply else { return Ok(()) };
            uses.low.store(granted / 4, Ordering::Relaxed);
            uses.reserved.store(times + 1, Ordering::Relaxed);
            uses.left.fetch_add(granted, Ordering::Relaxed);
            Ok(())
        }
        Err(ChangeError::Refused(refusal)) => Err(refusal),
        Err(ChangeError::DrawAgain) => Err(Status::Internal.into()),
    }
}

/// Tells whoever operates the HSM that a key comes to its end: once for each step in a life of the HSM.
fn note_step(uses: &Uses, reference: KeyReference, left: u64, log: &Log) {
    let step = step_of(left);
    if uses.steps.fetch_max(step, Ordering::Relaxed) < step {
        let reserved = KEY_USES_MAX - left;
        let what = match left {
            0 => "what was reserved is all that it still encrypts and wraps by AES-GCM: replace it now",
            _ => "at the end it encrypts and wraps by AES-GCM no more: replace it in time",
        };
        log.warn(format_args!("{reserved} of the {KEY_USES_MAX} uses of key {reference} by AES-GCM are gone; {what}"));
    }
}

fn step_of(left: u64) -> usize {
    STEPS.iter().filter(|step| left <= **step).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_at_half_at_an_eighth_and_at_the_end() {
        let check = |left: u64, step: usize| assert_eq!(step_of(left), step, "{left}");
        check(KEY_USES_MAX, 0);
        check(KEY_USES_MAX / 2 + 1, 0);
        check(KEY_USES_MAX / 2, 1);
        check(KEY_USES_MAX / 8 + 1, 1);
        check(KEY_USES_MAX / 8, 2);
        check(1, 2);
        check(0, 3);
    }
}
