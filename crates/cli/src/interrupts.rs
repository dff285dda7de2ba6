//! Ctrl-C ends the tool; but not while the terminal hides what is typed, because it would go on hiding.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::SIGINT;

/// Whether the signal ends the process, once it is asked for.
fn ends() -> &'static AtomicBool {
    static ENDS: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    ENDS.get_or_init(|| {
        let ends = Arc::new(AtomicBool::new(true));
        // It fails for signals that do not exist or may not be caught. Without it the system's way holds.
        let _ = signal_hook::flag::register_conditional_default(SIGINT, Arc::clone(&ends));
        ends
    })
}

/// The signal ends the process from now on, also where a library took it for itself.
pub fn end_the_process() {
    ends();
}

/// Does `work`, in which the signal ends nothing.
pub fn held<T>(work: impl FnOnce() -> T) -> T {
    ends().store(false, Ordering::SeqCst);
    let done = work();
    ends().store(true, Ordering::SeqCst);
    done
}
