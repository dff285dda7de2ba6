//! Mechanisms of a slot, and those that callers pass: `CK_MECHANISM` and the memory that its parameter points into.

use std::ptr;

use cryptoki_sys::{
    CK_MECHANISM, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_RV, CK_SLOT_ID, CK_ULONG, CKR_MECHANISM_INVALID,
};
use strongroom_ffi::{PointerError, pointer};

use super::{entered, put, put_list, take};
use crate::failure::Failure;
use crate::mechanism::{self, Mechanism, Memory};

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetMechanismList(
    slot: CK_SLOT_ID,
    list: *mut CK_MECHANISM_TYPE,
    count: *mut CK_ULONG,
) -> CK_RV {
    entered("C_GetMechanismList", |library| {
        let facts = library.slot(slot)?.facts()?;
        // SAFETY: the caller's.
        unsafe { put_list(list, count, &mechanism::list(facts.hsm_type, facts.mode)) }
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetMechanismInfo(
    slot: CK_SLOT_ID,
    mechanism: CK_MECHANISM_TYPE,
    info: *mut CK_MECHANISM_INFO,
) -> CK_RV {
    entered("C_GetMechanismInfo", |library| {
        let facts = library.slot(slot)?.facts()?;
        let why = "the cluster does not have this mechanism; C_GetMechanismList names those it has";
        let told = mechanism::info(mechanism, facts.hsm_type, facts.mode);
        // SAFETY: the caller's.
        unsafe { put(info, told.ok_or(Failure::call(CKR_MECHANISM_INVALID, why))?) }
    })
}

/// The mechanism that a caller points to, its parameter copied.
///
/// # Safety
/// Null, or a mechanism whose parameter is null or points to as many bytes as it says, and so on through what it holds.
pub(super) unsafe fn mechanism_at(mechanism: *const CK_MECHANISM) -> Result<Mechanism, Failure> {
    // SAFETY: the caller's, both.
    let (mechanism, memory) = unsafe { (take(mechanism)?, CallerMemory::new()) };
    mechanism::read(&memory, mechanism.mechanism, mechanism.pParameter.expose_provenance(), mechanism.ulParameterLen)
}

/// The memory of this process. Whoever makes one answers for the addresses that it is asked for: those of a
/// `CK_MECHANISM` and of what its parameter points to.
struct CallerMemory(());

impl CallerMemory {
    /// # Safety
    /// What a caller's parameter says of its own pointers and lengths is true while this is used.
    unsafe fn new() -> CallerMemory {
        CallerMemory(())
    }
}

impl Memory for CallerMemory {
    fn copy(&self, from: usize, into: &mut [u8]) -> Result<(), PointerError> {
        // SAFETY: null is refused; the caller answered for the rest when this was made.
        let bytes = unsafe { pointer::bytes(ptr::with_exposed_provenance(from), into.len())? };
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn buffer(&self, at: usize, len: usize) -> IvBuffer {
        IvBuffer { at: ptr::with_exposed_provenance_mut(at), len }
    }
}

/// A caller's buffer for the initialisation vector that an HSM draws: PKCS #11 has none, CloudHSM's library writes into the
/// parameter's (`pIv`) when the encryption completes, so it must stay until then.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct IvBuffer {
    /// Null writes nothing.
    at: *mut u8,
    len: usize,
}

// SAFETY: the address goes from thread to thread with its session; whoever writes holds the session's lock.
unsafe impl Send for IvBuffer {}
// SAFETY: nothing is read or written through a shared reference but under the session's lock.
unsafe impl Sync for IvBuffer {}

impl IvBuffer {
    /// One that takes whatever is written and keeps nothing.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn nowhere(len: usize) -> IvBuffer {
        IvBuffer { at: ptr::null_mut(), len }
    }

    /// One of a test's own memory.
    #[cfg(test)]
    pub(super) fn at(at: *mut u8, len: usize) -> IvBuffer {
        IvBuffer { at, len }
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes it zeros. Nothing of the caller's memory may be borrowed then, for buffers may overlap.
    pub(crate) fn clear(&self) {
        if !self.at.is_null() {
            // SAFETY: the caller's buffer, not null, of this length.
            unsafe { ptr::write_bytes(self.at, 0, self.len) };
        }
    }

    /// Writes as much of the bytes as there is room for, under the same condition.
    pub(super) fn write(&self, bytes: &[u8]) {
        if !self.at.is_null() {
            let len = bytes.len().min(self.len);
            // SAFETY: the caller's buffer, not null, of this length at least; `bytes` are the library's own.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.at, len) };
        }
    }
}

#[cfg(test)]
mod tests {
    use cryptoki_sys::{CK_GCM_PARAMS, CKM_AES_GCM, CKR_ARGUMENTS_BAD, CKR_MECHANISM_PARAM_INVALID};

    use super::*;
    use crate::mechanism::Parameter;

    #[test]
    fn a_parameter_is_read_and_its_buffer_written() {
        let mut iv = [7; 16];
        let mut aad = *b"header";
        let mut gcm = CK_GCM_PARAMS {
            pIv: iv.as_mut_ptr(),
            ulIvLen: 13,
            ulIvBits: 0,
            pAAD: aad.as_mut_ptr(),
            ulAADLen: 6,
            ulTagBits: 128,
        };
        let mechanism = CK_MECHANISM {
            mechanism: CKM_AES_GCM,
            pParameter: (&raw mut gcm).cast(),
            ulParameterLen: size_of::<CK_GCM_PARAMS>() as CK_ULONG,
        };
        // SAFETY: what the structures point to is longer than they say, and outlives the call.
        let read = unsafe { mechanism_at(&raw const mechanism) }.unwrap();
        let Parameter::Gcm(parameter) = read.parameter else { panic!("GCM has its own parameter") };
        assert_eq!((parameter.iv.as_slice(), parameter.aad.as_slice()), (&[7; 13][..], &b"header"[..]));
        let buffer = parameter.buffer.unwrap();
        assert_eq!((buffer.len(), iv), (13, [7; 16]));
        buffer.clear();
        assert_eq!(iv, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7]);
        buffer.write(&[9; 12]);
        assert_eq!(iv, [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 7, 7, 7]);
        buffer.write(&[5; 20]);
        assert_eq!(iv, [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 7, 7, 7], "not beyond its length");
    }

    #[test]
    fn what_points_nowhere_is_refused() {
        // SAFETY: null is refused before it is read.
        let missing = unsafe { mechanism_at(ptr::null()) };
        assert_eq!(missing.err().map(|failure| failure.rv()), Some(CKR_ARGUMENTS_BAD));
        let mechanism = CK_MECHANISM { mechanism: CKM_AES_GCM, pParameter: ptr::null_mut(), ulParameterLen: 48 };
        // SAFETY: as above.
        let missing = unsafe { mechanism_at(&raw const mechanism) };
        assert_eq!(missing.err().map(|failure| failure.rv()), Some(CKR_MECHANISM_PARAM_INVALID));
    }
}
