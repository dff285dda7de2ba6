//! The boundary that no panic crosses, and no cancellation of a thread.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of an entry point. A panic ends here and becomes what `on_panic` makes of it.
///
/// Unwinding into C is undefined and aborting kills somebody else's process, so every `extern "C"` function of a door
/// has its whole body in here. `on_panic` runs after the body's values are gone; should it panic too, the process aborts.
pub fn guarded<T>(body: impl FnOnce() -> T, on_panic: impl FnOnce() -> T) -> T {
    // What a body leaves half done is the door's to know: doors keep state behind locks and maps that stay valid at
    // every step, so that looking at it after a panic is sound.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            // The payload is of any type, and dropping it may panic.
            std::mem::forget(payload);
            on_panic()
        }
    }
}

// `pthread_setcancelstate` of POSIX.1-2008, which the crate libc does not have for Linux.
unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, previous: *mut c_int) -> c_int;
}

/// `PTHREAD_CANCEL_DISABLE` of Linux.
const CANCEL_DISABLE: c_int = 1;

/// Puts a thread's cancellation off while it lives.
struct Uncancelled(c_int);

impl Uncancelled {
    fn new() -> Uncancelled {
        let mut previous = 0;
        // SAFETY: concerns the calling thread alone; the previous state is written to a local.
        unsafe { pthread_setcancelstate(CANCEL_DISABLE, &raw mut previous) };
        Uncancelled(previous)
    }
}

impl Drop for Uncancelled {
    fn drop(&mut self) {
        let mut ignored = 0;
        // SAFETY: as above; the state is one that the thread had.
        unsafe { pthread_setcancelstate(self.0, &raw mut ignored) };
    }
}

/// The same for a body that waits. `pthread_cancel` ends a thread where it waits by unwinding it, which Rust may not go
/// through and answers by ending the process; so a thread that is cancelled in the body ends after it, where its caller
/// waits next.
pub fn guarded_whole<T>(body: impl FnOnce() -> T, on_panic: impl FnOnce() -> T) -> T {
    let _uncancelled = Uncancelled::new();
    guarded(body, on_panic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_passes_and_a_panic_does_not() {
        assert_eq!(guarded(|| 1, || -1), 1);
        assert_eq!(guarded(|| panic!("of the body"), || -1), -1);
    }

    #[test]
    fn a_payload_that_panics_when_dropped_does_not_pass_either() {
        struct Spiteful;
        impl Drop for Spiteful {
            fn drop(&mut self) {
                panic!("from drop");
            }
        }
        assert_eq!(guarded(|| std::panic::panic_any(Spiteful), || -1), -1);
    }

    #[test]
    fn cancellation_waits_for_the_end_of_a_body_and_is_as_before_after_it() {
        let state = || Uncancelled::new().0;
        assert_eq!(state(), 0);
        let inside = guarded_whole(|| (state(), guarded_whole(state, || -1), state()), || (-1, -1, -1));
        assert_eq!(inside, (CANCEL_DISABLE, CANCEL_DISABLE, CANCEL_DISABLE));
        assert_eq!(state(), 0);
        assert_eq!(guarded_whole(|| panic!("of the body"), || -1), -1);
        assert_eq!(state(), 0);
    }
}
