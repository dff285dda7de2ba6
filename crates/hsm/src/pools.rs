//! Bounded queues for expensive work: key generation, password hashing, TLS handshakes. The work itself runs on the
//! thread that asks; a pool decides how many do at once, and whose turn it is.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

use strongroom_types::{Refusal, Status};

/// A queue. `K` is for whom the work is done.
pub struct Pool<K> {
    state: Mutex<State<K>>,
    running_max: usize,
    waiting_max: usize,
    running_each_max: usize,
}

struct State<K> {
    running: usize,
    running_each: BTreeMap<K, usize>,
    /// Who waits, by the number drawn on arrival.
    waiting: BTreeMap<u64, Waiting<K>>,
    /// When each of those who wait or run was last let in, as a count.
    served: BTreeMap<K, u64>,
    drawn: u64,
    turns: u64,
}

struct Waiting<K> {
    key: K,
    thread: Thread,
}

/// A place in a pool's work; given back when dropped.
#[must_use]
pub struct Place<'a, K: Ord + Clone> {
    pool: &'a Pool<K>,
    key: K,
}

/// A turn of somebody who may have to wait for others in the middle of the work, and has no place meanwhile.
pub struct Turn<'a, K: Ord + Clone> {
    /// Where the turn is taken again, and for whom. Without it there is no end of places.
    of: Option<(&'a Pool<K>, K)>,
    is_wanted: &'a dyn Fn() -> bool,
    place: RefCell<Option<Place<'a, K>>>,
}

impl<'a, K: Ord + Clone> Turn<'a, K> {
    /// A turn that nobody waits for.
    pub fn free() -> Turn<'a, K> {
        Turn { of: None, is_wanted: &|| true, place: RefCell::new(None) }
    }

    /// Waits for a place, as [`Pool::enter_while`] does.
    pub fn take(
        pool: &'a Pool<K>,
        key: K,
        deadline: Instant,
        is_wanted: &'a dyn Fn() -> bool,
    ) -> Result<Turn<'a, K>, Refusal> {
        let place = pool.enter_while(key.clone(), deadline, is_wanted)?;
        Ok(Turn { of: Some((pool, key)), is_wanted, place: RefCell::new(Some(place)) })
    }

    /// Gives the place back for good: what is left to do is to wait.
    pub fn end(&self) {
        self.place.replace(None);
    }

    /// Waits for others without a place, and then for one again.
    pub fn away<T>(&self, deadline: Instant, wait: impl FnOnce() -> T) -> Result<T, Refusal> {
        let had_place = self.place.replace(None).is_some();
        let waited = wait();
        if let (true, Some((pool, key))) = (had_place, &self.of) {
            self.place.replace(Some(pool.enter_while(key.clone(), deadline, self.is_wanted)?));
        }
        Ok(waited)
    }
}

impl<K: Ord + Clone> Pool<K> {
    /// At most `running_max` work at once and `waiting_max` wait. Of those who wait, the one who was let in longest ago
    /// is next, so that one with many requests does not keep the others waiting. Nor out: when the queue is full, the
    /// newest of whoever has most in it makes room for one who would have fewer.
    pub fn new(running_max: usize, waiting_max: usize) -> Pool<K> {
        Pool::with(running_max, waiting_max, usize::MAX)
    }

    /// As [`new`](Pool::new), without a limit on all together but with one place for each.
    pub fn one_each(waiting_max: usize) -> Pool<K> {
        Pool::with(usize::MAX, waiting_max, 1)
    }

    /// As [`new`](Pool::new), with at most `running_each_max` places for each.
    pub fn some_each(running_max: usize, waiting_max: usize, running_each_max: usize) -> Pool<K> {
        Pool::with(running_max, waiting_max, running_each_max)
    }

    fn with(running_max: usize, waiting_max: usize, running_each_max: usize) -> Pool<K> {
        let state = State {
            running: 0,
            running_each: BTreeMap::new(),
            waiting: BTreeMap::new(),
            served: BTreeMap::new(),
            drawn: 0,
            turns: 0,
        };
        Pool { state: Mutex::new(state), running_max, waiting_max, running_each_max }
    }

    /// Waits for a place. [`Status::Busy`] when too many wait already, [`Status::DeadlineExceeded`] when the time is over
    /// before there is one.
    pub fn enter(&self, key: K, deadline: Instant) -> Result<Place<'_, K>, Refusal> {
        self.enter_while(key, deadline, || true)
    }

    /// As [`enter`](Pool::enter), and [`Status::Busy`] also when the place is not wanted any more. That is asked when this
    /// thread is unparked.
    pub fn enter_while(
        &self,
        key: K,
        deadline: Instant,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Place<'_, K>, Refusal> {
        let mut state = self.lock();
        // Nobody who waits for themselves alone keeps others out.
        if self.next(&state).is_none() && self.has_room(&state, &key) {
            state.let_in(&key);
            return Ok(Place { pool: self, key });
        }
        if state.waiting.len() >= self.waiting_max && !state.make_room_for(&key) {
            return Err(Status::Busy.into());
        }
        let number = state.drawn;
        state.drawn += 1;
        state.waiting.insert(number, Waiting { key: key.clone(), thread: thread::current() });
        loop {
            if !state.waiting.contains_key(&number) {
                // Another one's request was taken into the queue instead.
                return Err(Status::Busy.into());
            }
            if self.next(&state) == Some(number) {
                state.waiting.remove(&number);
                state.let_in(&key);
                // There may be room for the next one as well.
                self.wake_next(&state);
                return Ok(Place { pool: self, key });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let is_wanted = is_wanted();
            if left.is_zero() || !is_wanted {
                state.waiting.remove(&number);
                state.forget(&key);
                self.wake_next(&state);
                return Err(if is_wanted { Status::DeadlineExceeded } else { Status::Busy }.into());
            }
            drop(state);
            thread::park_timeout(left);
            state = self.lock();
        }
    }

    /// Wakes whose turn it is and nobody else: everyone who wakes looks through the queue.
    fn wake_next(&self, state: &State<K>) {
        if let Some(waiting) = self.next(state).and_then(|number| state.waiting.get(&number)) {
            waiting.thread.unpark();
        }
    }

    fn has_room(&self, state: &State<K>, key: &K) -> bool {
        let each = state.running_each.get(key).copied().unwrap_or(0);
        state.running < self.running_max && each < self.running_each_max
    }

    /// Whose turn it is among those who wait and for whom there is room.
    fn next(&self, state: &State<K>) -> Option<u64> {
        if state.running >= self.running_max {
            return None;
        }
        let fitting = state.waiting.iter().filter(|(_, waiting)| self.has_room(state, &waiting.key));
        let turn = |waiting: &Waiting<K>| state.served.get(&waiting.key).copied().unwrap_or(0);
        fitting.min_by_key(|(number, waiting)| (turn(waiting), **number)).map(|(number, _)| *number)
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone> State<K> {
    fn let_in(&mut self, key: &K) {
        self.turns += 1;
        self.running += 1;
        *self.running_each.entry(key.clone()).or_insert(0) += 1;
        self.served.insert(key.clone(), self.turns);
    }

    /// Takes the newest request of whoever has most waiting out of the queue, unless `key` would then have as many
    /// there; whether it did.
    fn make_room_for(&mut self, key: &K) -> bool {
        let mut counts: BTreeMap<&K, (usize, u64)> = BTreeMap::new();
        for (number, waiting) in &self.waiting {
            let (count, newest) = counts.entry(&waiting.key).or_default();
            *count += 1;
            *newest = *number;
        }
        let own = counts.get(key).map_or(0, |(count, _)| *count);
        let Some((most, newest)) = counts.into_values().max() else { return false };
        if most <= own + 1 {
            return false;
        }
        if let Some(out) = self.waiting.remove(&newest) {
            out.thread.unpark();
        }
        true
    }

    /// Forgets when somebody was served who neither works nor waits, so that the map stays small.
    fn forget(&mut self, key: &K) {
        let still = self.running_each.contains_key(key) || self.waiting.values().any(|waiting| waiting.key == *key);
        if !still {
            self.served.remove(key);
        }
    }
}

impl<K: Ord + Clone> Drop for Place<'_, K> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.running -= 1;
        if let Some(each) = state.running_each.get_mut(&self.key) {
            *each -= 1;
            if *each == 0 {
                state.running_each.remove(&self.key);
            }
        }
        state.forget(&self.key);
        self.pool.wake_next(&state);
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn wait_until_waiting(pool: &Pool<char>, count: usize) {
        let deadline = soon();
        while pool.lock().waiting.len() != count {
            assert!(Instant::now() < deadline, "nobody waits");
            thread::yield_now();
        }
    }

    #[test]
    fn users_take_turns() {
        let pool = Pool::new(1, 10);
        let (said, order) = mpsc::channel();
        let first = pool.enter('a', soon()).unwrap();
        thread::scope(|scope| {
            for (waiting, key) in ['a', 'a', 'a', 'b', 'b', 'c'].into_iter().enumerate() {
                let (pool, said) = (&pool, said.clone());
                scope.spawn(move || {
                    let _place = pool.enter(key, soon()).unwrap();
                    said.send(key).unwrap();
                });
                wait_until_waiting(pool, waiting + 1);
            }
            drop(first);
        });
        let order: String = order.try_iter().collect();
        assert_eq!(order, "bcabaa");
        assert_eq!(pool.lock().served.len(), 0);
    }

    #[test]
    fn who_waits_for_others_leaves_the_place_to_the_next() {
        let pool = Pool::new(1, 10);
        let enter = |key| pool.enter(key, Instant::now()).map(drop);
        let is_wanted = || true;
        let turn = Turn::take(&pool, 'a', soon(), &is_wanted).unwrap();
        assert!(enter('b').is_err());
        assert_eq!(turn.away(soon(), || enter('b')), Ok(Ok(())));
        assert!(enter('b').is_err(), "the place was not taken again");
        // Somebody has it when the wait is over.
        let taken = RefCell::new(None);
        let away = turn.away(Instant::now(), || taken.replace(pool.enter('b', soon()).ok()).is_none());
        assert_eq!(away, Err(Status::DeadlineExceeded.into()));
        taken.replace(None);
        assert_eq!(enter('b'), Ok(()));
        let turn = Turn::take(&pool, 'a', soon(), &is_wanted).unwrap();
        turn.end();
        assert_eq!(turn.away(soon(), || enter('b')), Ok(Ok(())));
        assert_eq!(enter('b'), Ok(()), "a place that was given back for good was taken again");
        assert_eq!(Turn::<char>::free().away(Instant::now(), || 7), Ok(7));
    }

    #[test]
    fn a_full_queue_is_busy_and_time_runs_out() {
        let pool = Pool::new(1, 0);
        let place = pool.enter('a', soon()).unwrap();
        assert_eq!(pool.enter('b', soon()).err(), Some(Status::Busy.into()));
        drop(place);
        drop(pool.enter('b', soon()).unwrap());
        let pool = Pool::new(1, 1);
        let _place = pool.enter('a', soon()).unwrap();
        let over = Instant::now();
        assert_eq!(pool.enter('b', over).err(), Some(Status::DeadlineExceeded.into()));
        assert!(pool.lock().waiting.is_empty());
    }

    #[test]
    fn one_who_fills_the_queue_makes_room_for_others() {
        let pool = Pool::new(1, 3);
        let first = pool.enter('a', soon()).unwrap();
        thread::scope(|scope| {
            let pool = &pool;
            let waits = |key, count| {
                let handle = scope.spawn(move || pool.enter(key, soon()).map(drop));
                wait_until_waiting(pool, count);
                handle
            };
            let of_a = [waits('a', 1), waits('a', 2), waits('a', 3)];
            // Who has most in the queue already gets no more.
            assert_eq!(pool.enter('a', soon()).err(), Some(Status::Busy.into()));
            let of_b = scope.spawn(|| pool.enter('b', soon()).map(drop));
            let [oldest, other, newest] = of_a;
            assert_eq!(newest.join().unwrap(), Err(Status::Busy.into()));
            wait_until_waiting(pool, 3);
            // Two of a and one of b: nobody takes the other's room.
            assert_eq!(pool.enter('b', soon()).err(), Some(Status::Busy.into()));
            drop(first);
            for let_in in [oldest, other, of_b] {
                assert_eq!(let_in.join().unwrap(), Ok(()));
            }
        });
        assert_eq!(pool.lock().served.len(), 0);
    }

    /// As many as the named limits say may wait, and no more.
    #[test]
    fn queues_at_below_and_above_their_limits() {
        use strongroom_types::limits::{GENERATION_WAITING_MAX, HANDSHAKES_WAITING_MAX, HASHING_WAITING_MAX};
        let check = |pool: &Pool<char>, max: usize| {
            let over = std::sync::atomic::AtomicBool::new(false);
            let first = pool.enter('a', soon()).unwrap();
            thread::scope(|scope| {
                let waits = || pool.enter_while('a', soon(), || !over.load(SeqCst)).is_ok();
                let begin = |_| thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, waits).unwrap();
                let mut threads: Vec<_> = (1..max).map(begin).collect();
                wait_until_waiting(pool, max - 1);
                threads.push(begin(max));
                wait_until_waiting(pool, max);
                assert_eq!(pool.enter('a', soon()).err(), Some(Status::Busy.into()), "{max}");
                over.store(true, SeqCst);
                threads.iter().for_each(|thread| thread.thread().unpark());
                assert!(!threads.into_iter().any(|thread| thread.join().unwrap()));
            });
            drop(first);
            drop(pool.enter('a', soon()).unwrap());
        };
        for max in [GENERATION_WAITING_MAX, HASHING_WAITING_MAX, HANDSHAKES_WAITING_MAX] {
            check(&Pool::new(1, max), max);
        }
        check(&Pool::one_each(HASHING_WAITING_MAX), HASHING_WAITING_MAX);
    }

    static COMPARED: AtomicUsize = AtomicUsize::new(0);

    /// Counts how often keys are looked up: what a turn costs.
    #[derive(Clone, PartialEq, Eq)]
    struct Counted;

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Counted) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Counted {
        fn cmp(&self, _: &Counted) -> Ordering {
            COMPARED.fetch_add(1, SeqCst);
            Ordering::Equal
        }
    }

    /// Whoever may fill the queue without a login must not make each turn cost the queue's square.
    #[test]
    fn a_turn_costs_no_more_than_a_look_at_who_waits() {
        const WAITING: usize = 64;
        let pool = Pool::new(1, WAITING);
        let first = pool.enter(Counted, soon()).unwrap();
        thread::scope(|scope| {
            for _ in 0..WAITING {
                scope.spawn(|| drop(pool.enter(Counted, soon()).unwrap()));
            }
            let deadline = soon();
            while pool.lock().waiting.len() != WAITING {
                assert!(Instant::now() < deadline, "not all wait");
                thread::yield_now();
            }
            COMPARED.store(0, SeqCst);
            drop(first);
        });
        let compared = COMPARED.load(SeqCst);
        assert!(compared <= 4 * WAITING * WAITING, "{compared}");
    }

    #[test]
    fn one_each_holds_nobody_else_up() {
        let pool = Pool::one_each(10);
        let mine = pool.enter('a', soon()).unwrap();
        let theirs = pool.enter('b', soon()).unwrap();
        assert_eq!(pool.enter('a', Instant::now()).err(), Some(Status::DeadlineExceeded.into()));
        thread::scope(|scope| {
            let waits = scope.spawn(|| drop(pool.enter('a', soon()).unwrap()));
            wait_until_waiting(&pool, 1);
            // Nobody of another key stands behind the one who waits.
            drop(pool.enter('c', soon()).unwrap());
            drop(mine);
            waits.join().unwrap();
        });
        drop(theirs);
    }
}
