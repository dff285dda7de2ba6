//! Bounded queues for expensive work: key generation, password hashing, TLS handshakes. The work itself runs on the
//! thread that asks; a pool decides how many do at once, and whose turn it is.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use strongroom_types::{Refusal, Status};

/// A queue. `K` is for whom the work is done.
pub struct Pool<K> {
    state: Mutex<State<K>>,
    changed: Condvar,
    running_max: usize,
    waiting_max: usize,
    running_each_max: usize,
}

struct State<K> {
    running: usize,
    running_each: BTreeMap<K, usize>,
    /// Who waits, with the number drawn on arrival.
    waiting: BTreeMap<u64, K>,
    /// When each of those who wait or run was last let in, as a count.
    served: BTreeMap<K, u64>,
    drawn: u64,
    turns: u64,
}

/// A place in a pool's work; given back when dropped.
#[must_use]
pub struct Place<'a, K: Ord + Clone> {
    pool: &'a Pool<K>,
    key: K,
}

impl<K: Ord + Clone> Pool<K> {
    /// At most `running_max` work at once and `waiting_max` wait. Of those who wait, the one who was let in longest ago
    /// is next, so that one with many requests does not keep the others waiting.
    pub fn new(running_max: usize, waiting_max: usize) -> Pool<K> {
        Pool::with(running_max, waiting_max, usize::MAX)
    }

    /// As [`new`](Pool::new), without a limit on all together but with one place for each.
    pub fn one_each(waiting_max: usize) -> Pool<K> {
        Pool::with(usize::MAX, waiting_max, 1)
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
        Pool { state: Mutex::new(state), changed: Condvar::new(), running_max, waiting_max, running_each_max }
    }

    /// Waits for a place. [`Status::Busy`] when too many wait already, [`Status::DeadlineExceeded`] when the time is over
    /// before there is one.
    pub fn enter(&self, key: K, deadline: Instant) -> Result<Place<'_, K>, Refusal> {
        let mut state = self.lock();
        // Nobody who waits for themselves alone keeps others out.
        if self.next(&state).is_none() && self.has_room(&state, &key) {
            state.let_in(&key);
            return Ok(Place { pool: self, key });
        }
        if state.waiting.len() >= self.waiting_max {
            return Err(Status::Busy.into());
        }
        let number = state.drawn;
        state.drawn += 1;
        state.waiting.insert(number, key.clone());
        loop {
            if self.next(&state) == Some(number) {
                state.waiting.remove(&number);
                state.let_in(&key);
                // There may be room for the next one as well.
                self.changed.notify_all();
                return Ok(Place { pool: self, key });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.waiting.remove(&number);
                state.forget(&key);
                self.changed.notify_all();
                return Err(Status::DeadlineExceeded.into());
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn has_room(&self, state: &State<K>, key: &K) -> bool {
        let each = state.running_each.get(key).copied().unwrap_or(0);
        state.running < self.running_max && each < self.running_each_max
    }

    /// Whose turn it is among those who wait and for whom there is room.
    fn next(&self, state: &State<K>) -> Option<u64> {
        let fitting = state.waiting.iter().filter(|(_, key)| self.has_room(state, key));
        fitting.min_by_key(|(number, key)| (state.served.get(key).copied().unwrap_or(0), **number)).map(|(n, _)| *n)
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

    /// Forgets when somebody was served who neither works nor waits, so that the map stays small.
    fn forget(&mut self, key: &K) {
        let still = self.running_each.contains_key(key) || self.waiting.values().any(|waiting| waiting == key);
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
        drop(state);
        self.pool.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
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
