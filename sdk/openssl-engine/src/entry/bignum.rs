//! OpenSSL's numbers as bytes, and back.

use std::ffi::c_int;

use strongroom_client::reference_pem::Marker;
use strongroom_types::Secret;

use super::libcrypto::{Bignum, Libcrypto};
use crate::error::EngineError;
use crate::keys::may_be_marker;

/// Length in bytes, without leading zeros.
///
/// # Safety
/// The table is sound, `number` is a number.
unsafe fn len(crypto: &Libcrypto, number: *const Bignum) -> usize {
    // SAFETY: the caller's.
    let bits = unsafe { (crypto.BN_num_bits)(number) };
    usize::try_from(bits).unwrap_or(0).div_ceil(8)
}

/// A number, big-endian, without leading zeros.
///
/// # Safety
/// The table is sound, `number` is a number.
pub(super) unsafe fn bytes(crypto: &Libcrypto, number: *const Bignum) -> Vec<u8> {
    // SAFETY: the buffer has the length that `BN_bn2bin` writes.
    unsafe {
        let mut bytes = vec![0; len(crypto, number)];
        (crypto.BN_bn2bin)(number, bytes.as_mut_ptr());
        bytes
    }
}

/// The marker that stands in place of a private integer; none for a real one, which is not even copied unless it has a
/// marker's length.
///
/// # Safety
/// The table is sound, `number` is null or a number.
pub(super) unsafe fn marker(crypto: &Libcrypto, number: *const Bignum) -> Option<Marker> {
    // SAFETY: the caller's.
    unsafe {
        if number.is_null() || !may_be_marker(len(crypto, number)) {
            return None;
        }
        Marker::parse(Secret::new(bytes(crypto, number)).expose())
    }
}

/// A number of our own, wiped and freed unless it is given away.
pub(super) struct Number<'a> {
    crypto: &'a Libcrypto,
    number: *mut Bignum,
}

impl<'a> Number<'a> {
    /// # Safety
    /// The table is sound; `made` is null or ours to free.
    unsafe fn of(crypto: &'a Libcrypto, made: *mut Bignum) -> Result<Number<'a>, EngineError> {
        if made.is_null() { Err(EngineError::Libcrypto("BN_new")) } else { Ok(Number { crypto, number: made }) }
    }

    /// Zero.
    ///
    /// # Safety
    /// The table is sound.
    pub(super) unsafe fn zero(crypto: &'a Libcrypto) -> Result<Number<'a>, EngineError> {
        // SAFETY: a new number.
        unsafe { Number::of(crypto, (crypto.BN_new)()) }
    }

    /// The number of these bytes, big-endian.
    ///
    /// # Safety
    /// The table is sound.
    pub(super) unsafe fn from_bytes(crypto: &'a Libcrypto, bytes: &[u8]) -> Result<Number<'a>, EngineError> {
        let len = c_int::try_from(bytes.len()).map_err(|_| EngineError::Libcrypto("BN_bin2bn"))?;
        // SAFETY: pointer and length of a slice; null makes a new number.
        unsafe { Number::of(crypto, (crypto.BN_bin2bn)(bytes.as_ptr(), len, std::ptr::null_mut())) }
    }

    /// A copy.
    ///
    /// # Safety
    /// The table is sound, `number` is null or a number.
    pub(super) unsafe fn copy_of(crypto: &'a Libcrypto, number: *const Bignum) -> Result<Number<'a>, EngineError> {
        // SAFETY: `BN_dup` takes null too.
        unsafe { Number::of(crypto, (crypto.BN_dup)(number)) }
    }

    /// The number, still ours.
    pub(super) fn as_ptr(&self) -> *mut Bignum {
        self.number
    }

    /// The number is somebody else's from now on.
    pub(super) fn given_away(self) {
        std::mem::forget(self);
    }
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, and freed once.
        unsafe { (self.crypto.BN_clear_free)(self.number) };
    }
}
