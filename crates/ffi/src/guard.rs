//! The boundary that no panic crosses.

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
}
