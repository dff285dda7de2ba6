//! The C side: what OpenSSL calls, and what we call in it.
//!
//! * Every entry point checks pointers, traps panics and cancellation, calls safe code and turns one error into OpenSSL's queue.
//! * Methods are copies of the stock ones with few functions replaced. Key objects of real keys, ephemeral keys of TLS
//!   among them, carry them too, so the way to the stock functions is short.
//! * Nothing registered here is ever taken back: the library is never unmapped.
//! * What is not registered: loading of keys, EVP methods, ASN.1 methods. With OpenSSL 3 they would break stock code.

mod bignum;
mod ec;
mod libcrypto;
mod queue;
mod rsa;

use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_ffi::{guarded_whole, pointer};

use self::ec::Ec;
use self::libcrypto::{Engine, Libcrypto, LibcryptoError};
use self::queue::Queue;
use self::rsa::Rsa;
use crate::engine::{engine, note};
use crate::error::EngineError;

/// `OSSL_DYNAMIC_VERSION`, the same in OpenSSL 1.1.1 and 3.
const DYNAMIC_VERSION: c_ulong = 0x0003_0000;

/// `dynamic_fns`. The allocation functions are of no use: a program may have its own, and libcrypto calls them itself.
#[repr(C)]
pub(crate) struct DynamicFunctions {
    static_state: *mut c_void,
    _allocation: [*mut c_void; 3],
}

/// One process, one libcrypto: what the first `bind_engine` found.
pub(crate) struct Bound {
    /// Address inside the libcrypto that loaded us.
    inside: usize,
    libcrypto: Libcrypto,
    queue: Queue,
    rsa: Rsa,
    ec: Ec,
}

static BOUND: OnceLock<Bound> = OnceLock::new();

/// Whether a host has been told that the settings can't be used.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Which version of the interface we speak; 0 to a loader that is too old.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn v_check(loader: c_ulong) -> c_ulong {
    if loader >= DYNAMIC_VERSION { DYNAMIC_VERSION } else { 0 }
}

/// Fills an engine; 1, or 0 when it can't be done. Speaks to no HSM, starts no thread and opens no log.
///
/// # Safety
/// As OpenSSL's `dynamic_bind_engine`: an engine to be filled, null or a C string, the loader's functions.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn bind_engine(
    target: *mut Engine,
    id: *const c_char,
    functions: *const DynamicFunctions,
) -> c_int {
    let body = || {
        if target.is_null() || functions.is_null() {
            return 0;
        }
        // SAFETY: null or a C string.
        let id = unsafe { pointer::text(id) };
        if id.is_some_and(|id| id != c"cloudhsm") {
            return 0;
        }
        // SAFETY: not null, and the loader's.
        let inside = unsafe { (*functions).static_state };
        // SAFETY: the address of the loading libcrypto's state.
        let Ok(bound) = (unsafe { bound_to(inside) }) else { return 0 };
        // Kept from here on. A failure is told by `init`, where hosts ask for it.
        let _ = engine();
        // SAFETY: an engine to be filled; names and methods live for ever.
        c_int::from(unsafe { bound.fill(target) })
    };
    guarded_whole(body, || 0)
}

/// The process's table for the libcrypto that holds this address.
///
/// # Safety
/// As [`Libcrypto::around`].
unsafe fn bound_to(inside: *mut c_void) -> Result<&'static Bound, LibcryptoError> {
    let bound = match BOUND.get() {
        Some(bound) => bound,
        None => {
            // SAFETY: passed on.
            let libcrypto = unsafe { Libcrypto::around(inside) }?;
            // SAFETY: a table of the right library.
            let made = unsafe { Bound::new(inside as usize, libcrypto) }?;
            BOUND.get_or_init(|| made)
        }
    };
    // Key objects of one libcrypto mean nothing to another.
    if bound.inside == inside as usize { Ok(bound) } else { Err(LibcryptoError::NotFound) }
}

impl Bound {
    /// # Safety
    /// The table is of a sound libcrypto.
    unsafe fn new(inside: usize, libcrypto: Libcrypto) -> Result<Bound, LibcryptoError> {
        // SAFETY: the table is sound.
        let (queue, rsa, ec) = unsafe { (Queue::new(&libcrypto), Rsa::new(&libcrypto)?, Ec::new(&libcrypto)?) };
        Ok(Bound { inside, libcrypto, queue, rsa, ec })
    }

    /// # Safety
    /// `target` is an engine to be filled.
    unsafe fn fill(&self, target: *mut Engine) -> bool {
        let crypto = &self.libcrypto;
        // SAFETY: an engine, names that are literals, methods that are never freed.
        unsafe {
            (crypto.ENGINE_set_id)(target, c"cloudhsm".as_ptr()) == 1
                && (crypto.ENGINE_set_name)(target, c"CloudHSM OpenSSL Engine".as_ptr()) == 1
                && (crypto.ENGINE_set_init_function)(target, init) == 1
                && (crypto.ENGINE_set_RSA)(target, self.rsa.method()) == 1
                && (crypto.ENGINE_set_EC)(target, self.ec.method()) == 1
        }
    }
}

/// Called when the engine is made the default, and again for later uses.
///
/// Settings that can't be used fail the first call: nginx and Apache stop, `openssl engine -t` says unavailable. They do
/// not fail later ones: the `openssl` commands go on without an engine that does not start, and `genrsa` would write a
/// key of OpenSSL's own and report success. So they get our methods, which say what is wrong at each use of a key.
unsafe extern "C" fn init(_: *mut Engine) -> c_int {
    entered(0, |_| match engine() {
        Err(error) if !TOLD.swap(true, Ordering::Relaxed) => Err(error.into()),
        _ => Ok(1),
    })
}

/// The frame of every function that OpenSSL calls once the engine is bound: an error becomes `failed`, a line in the
/// log and an entry in the caller's error queue. A thread that is cancelled meanwhile ends after it.
fn entered<T: Copy>(failed: T, body: impl FnOnce(&'static Bound) -> Result<T, EngineError>) -> T {
    // OpenSSL has our functions from `bind_engine` alone.
    let Some(bound) = BOUND.get() else { return failed };
    let tell = |error: &EngineError| {
        note(error);
        // SAFETY: the table is sound.
        unsafe { bound.queue.raise(&bound.libcrypto, error) };
        failed
    };
    guarded_whole(|| body(bound).unwrap_or_else(|error| tell(&error)), || tell(&EngineError::Panic))
}
