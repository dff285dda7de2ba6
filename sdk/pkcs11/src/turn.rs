//! Turns: one thread at a time logs in to a slot or out of it, and nobody waits for that without an end.
//!
//! Threads that log in with the same PIN at the same time are one attempt to the HSMs, which lock a user after five wrong
//! passwords in a row: who waited while the PIN was refused is told what it was told. Any other failure says nothing of the
//! PIN, and whoever waited makes an attempt.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cryptoki_sys::{CK_RV, CKR_DEVICE_ERROR, CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_USER_TYPE_INVALID};
use strongroom_crypto::{equal, hmac_sha256, random};

use crate::failure::Failure;

/// What tells PINs apart, and says nothing of them to whoever does not know the turns' key.
#[derive(Clone, Copy)]
pub(crate) struct Print([u8; 32]);

/// An attempt whose PIN was refused while others waited.
struct Refused {
    attempt: u64,
    print: Print,
    rv: CK_RV,
}

#[derive(Default)]
struct State {
    is_taken: bool,
    /// Of each thread that waits, the first attempt that did not end before it came.
    waiting: Vec<u64>,
    /// Attempts so far, the one that runs included.
    attempts: u64,
    is_attempting: bool,
    /// The newest of each PIN that concerns a thread that waits.
    refused: Vec<Refused>,
}

/// See the module.
pub(crate) struct Turns {
    key: [u8; 32],
    state: Mutex<State>,
    free: Condvar,
}

/// Whoever holds it may log in and out.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    /// The first attempt that did not end before this thread came.
    since: u64,
}

impl Turns {
    /// Nobody has it yet.
    pub(crate) fn new() -> Turns {
        Turns { key: random::bytes(), state: Mutex::default(), free: Condvar::new() }
    }

    /// The print of a user's name and password.
    pub(crate) fn print(&self, user: &str, password: &[u8]) -> Print {
        let len = (user.len() as u64).to_be_bytes();
        Print(hmac_sha256(&self.key, &[&len, user.as_bytes(), password]))
    }

    /// Waits for other threads' logging in and out.
    pub(crate) fn take(&self, deadline: Instant) -> Result<Turn<'_>, Failure> {
        let mut state = self.state();
        let since = state.attempts + u64::from(!state.is_attempting);
        state.waiting.push(since);
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.free.wait_timeout_while(state, left, |state| state.is_taken);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = state.waiting.iter().position(|waiting| *waiting == since) {
            state.waiting.swap_remove(place);
        }
        if state.is_taken {
            return Err(Failure::call(CKR_DEVICE_ERROR, "logins and logouts of other threads took too long"));
        }
        state.is_taken = true;
        Ok(Turn { turns: self, since })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Makes an attempt to log in, unless the same PIN was refused while this thread waited.
    pub(crate) fn attempt(&self, print: Print, log_in: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        let mut state = self.turns.state();
        let is_same = |refused: &&Refused| refused.attempt >= self.since && equal(&refused.print.0, &print.0);
        if let Some(refused) = state.refused.iter().find(is_same) {
            return Err(Failure::call(refused.rv, "a login with the same PIN failed so while this one waited for it"));
        }
        state.attempts += 1;
        state.is_attempting = true;
        let attempt = state.attempts;
        drop(state);
        let made = log_in();
        let mut state = self.turns.state();
        state.is_attempting = false;
        if let Err(failure) = &made
            && matches!(failure.rv(), CKR_PIN_INCORRECT | CKR_PIN_LOCKED | CKR_USER_TYPE_INVALID)
        {
            state.refused.retain(|before| !equal(&before.print.0, &print.0));
            state.refused.push(Refused { attempt, print, rv: failure.rv() });
        }
        made
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.is_taken = false;
        // Where an attempt panicked.
        state.is_attempting = false;
        let oldest = state.waiting.iter().min().copied();
        state.refused.retain(|refused| oldest.is_some_and(|oldest| refused.attempt >= oldest));
        self.turns.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn wrong() -> Result<(), Failure> {
        Err(Failure::call(CKR_PIN_INCORRECT, "wrong"))
    }

    fn wait_for(turns: &Turns, waiting: usize) {
        let deadline = Instant::now() + LONG;
        while turns.state().waiting.len() < waiting {
            assert!(Instant::now() < deadline, "nobody came to wait");
            std::thread::yield_now();
        }
    }

    #[test]
    fn threads_with_the_same_wrong_pin_are_one_attempt() {
        let (turns, attempts) = (Turns::new(), AtomicUsize::new(0));
        let log_in = |password: &[u8]| {
            let turn = turns.take(Instant::now() + LONG).unwrap();
            turn.attempt(turns.print("alice", password), || {
                attempts.fetch_add(1, Ordering::SeqCst);
                wrong()
            })
        };
        std::thread::scope(|scope| {
            let first = turns.take(Instant::now() + LONG).unwrap();
            let waiting: Vec<_> =
                (0..8).map(|at| scope.spawn(move || log_in(if at < 7 { b"old" } else { b"new" }))).collect();
            wait_for(&turns, 8);
            first.attempt(turns.print("alice", b"old"), wrong).unwrap_err();
            drop(first);
            for one in waiting {
                assert_eq!(one.join().unwrap().unwrap_err().rv(), CKR_PIN_INCORRECT);
            }
        });
        assert_eq!(attempts.load(Ordering::SeqCst), 1, "the other PIN's");
        assert!(turns.state().refused.is_empty(), "nothing of a PIN stays");
        log_in(b"old").unwrap_err();
        assert_eq!(attempts.load(Ordering::SeqCst), 2, "whoever comes later is not answered by what was");
    }

    #[test]
    fn who_comes_after_a_failure_makes_an_attempt_though_others_wait() {
        let turns = Turns::new();
        let print = turns.print("alice", b"old");
        let first = turns.take(Instant::now() + LONG).unwrap();
        first.attempt(print, wrong).unwrap_err();
        // As one that came when the next attempt had begun.
        let later = Turn { turns: &turns, since: 2 };
        assert!(later.attempt(print, || Ok(())).is_ok());
        std::mem::forget(later);
    }

    #[test]
    fn what_says_nothing_of_the_pin_is_told_to_nobody_else() {
        let turns = Turns::new();
        let first = turns.take(Instant::now() + LONG).unwrap();
        let print = turns.print("alice", b"right");
        first.attempt(print, || Err(Failure::call(CKR_DEVICE_ERROR, "no HSM answers"))).unwrap_err();
        let waited = Turn { turns: &turns, since: 1 };
        assert!(waited.attempt(print, || Ok(())).is_ok());
        std::mem::forget(waited);
    }

    #[test]
    fn who_comes_while_the_turn_is_taken_for_something_else_is_not_answered_by_what_was() {
        let turns = Turns::new();
        let print = turns.print("alice", b"old");
        std::thread::scope(|scope| {
            let first = turns.take(Instant::now() + LONG).unwrap();
            first.attempt(print, wrong).unwrap_err();
            // The attempt is over and the turn still taken.
            let later = scope.spawn(|| turns.take(Instant::now() + LONG).unwrap().attempt(print, || Ok(())));
            wait_for(&turns, 1);
            drop(first);
            assert!(later.join().unwrap().is_ok());
        });
    }

    #[test]
    fn of_refused_pins_only_what_concerns_a_waiting_thread_is_kept() {
        let turns = Turns::new();
        std::thread::scope(|scope| {
            let first = turns.take(Instant::now() + LONG).unwrap();
            for password in [b"1", b"2", b"2"] {
                first.attempt(turns.print("alice", password), wrong).unwrap_err();
            }
            assert_eq!(turns.state().refused.len(), 2);
            // It came after all of them.
            let waiting = scope.spawn(|| drop(turns.take(Instant::now() + LONG).unwrap()));
            wait_for(&turns, 1);
            drop(first);
            waiting.join().unwrap();
        });
        let state = turns.state();
        assert!(state.refused.is_empty() && state.waiting.is_empty());
    }

    #[test]
    fn nobody_waits_longer_than_agreed() {
        let turns = Turns::new();
        let held = turns.take(Instant::now()).unwrap();
        assert_eq!(turns.take(Instant::now()).map(drop).unwrap_err().rv(), CKR_DEVICE_ERROR);
        drop(held);
        turns.take(Instant::now()).map(drop).unwrap();
    }

    #[test]
    fn prints_tell_names_and_passwords_apart() {
        let turns = Turns::new();
        let prints = [("a", "bc"), ("ab", "c"), ("a", "b")].map(|(user, pin)| turns.print(user, pin.as_bytes()).0);
        assert!(prints[0] != prints[1] && prints[0] != prints[2]);
        assert_eq!(prints[0], turns.print("a", b"bc").0);
        assert_ne!(prints[0], Turns::new().print("a", b"bc").0, "each has its own key");
    }
}
