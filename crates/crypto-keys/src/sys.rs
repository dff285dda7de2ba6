//! Every call of AWS-LC's C interface that this room makes.
//!
//! * Each C object is owned by exactly one Rust value, which frees it; AWS-LC wipes what it frees.
//! * The thread's error queue is empty after each function: reasons are for people with a debugger, and reasons of a
//!   failed decryption are for nobody.

mod aes;
mod des;
mod ec;
mod ed25519;
mod gcm;
mod hmac;
mod ml_dsa;
mod rsa;
mod rsa_parts;
mod wrap;

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};

use aws_lc_sys as lc;
use strongroom_types::{HashFunction, PublicPart, Secret};
use zeroize::Zeroizing;

pub(crate) use aes::{AesSchedule, ecb};
pub(crate) use des::{Des3, has_weak_des_key, with_odd_parity};
pub(crate) use ec::{EcPrivate, generate_ec};
pub(crate) use ed25519::{Ed25519Private, generate_ed25519};
pub(crate) use gcm::GcmOpening;
pub(crate) use hmac::Hmac;
pub(crate) use ml_dsa::{MlDsaPrivate, generate_ml_dsa};
pub(crate) use rsa::{RsaPrivate, generate_rsa};
pub(crate) use rsa_parts::{RsaNumbers, completed};
pub(crate) use wrap::{RsaEncryption, kw_unwrap, kw_wrap, kwp_unwrap, kwp_wrap};

/// Bytes of the largest PKCS #8 made here, RSA-4096, rounded up: the buffer never grows.
const PKCS8_LEN_MAX: usize = 4096;

/// Empties the thread's error queue when a call of this module ends.
struct ErrorQueue;

impl Drop for ErrorQueue {
    fn drop(&mut self) {
        // SAFETY: touches nothing but the calling thread's own queue.
        unsafe { lc::ERR_clear_error() }
    }
}

/// Zeros over a value of AWS-LC that is plain numbers.
fn wipe<T: Copy>(value: &mut T) {
    // SAFETY: writes over this value alone, and zeros are valid for every type this is called with.
    unsafe { lc::OPENSSL_cleanse(std::ptr::from_mut(value).cast::<c_void>(), size_of::<T>()) }
}

macro_rules! owned {
    ($(#[$doc:meta])* $name:ident, $object:ty, $free:ident) => {
        $(#[$doc])*
        struct $name(NonNull<$object>);

        impl $name {
            /// Takes ownership, unless AWS-LC gave null.
            ///
            /// # Safety
            /// `object` is null, or an object that nobody else frees.
            unsafe fn take(object: *mut $object) -> Option<$name> {
                NonNull::new(object).map($name)
            }

            fn as_ptr(&self) -> *mut $object {
                self.0.as_ptr()
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: `take` got an object that nobody else frees, and this runs once.
                unsafe { lc::$free(self.as_ptr()) }
            }
        }
    };
}

use owned;

owned!(
    /// A private key of any type.
    Pkey,
    lc::EVP_PKEY,
    EVP_PKEY_free
);
owned!(
    /// One use of a private key.
    PkeyContext,
    lc::EVP_PKEY_CTX,
    EVP_PKEY_CTX_free
);
owned!(
    /// An RSA key.
    Rsa,
    lc::RSA,
    RSA_free
);
owned!(
    /// An EC key.
    EcKey,
    lc::EC_KEY,
    EC_KEY_free
);
owned!(
    /// A point on a curve.
    EcPoint,
    lc::EC_POINT,
    EC_POINT_free
);
owned!(
    /// A number.
    Bignum,
    lc::BIGNUM,
    BN_free
);
owned!(
    /// Room for the numbers of a calculation.
    BignumContext,
    lc::BN_CTX,
    BN_CTX_free
);
owned!(
    /// r and s.
    EcdsaSignature,
    lc::ECDSA_SIG,
    ECDSA_SIG_free
);

/// A private key, complete and consistent: AWS-LC checked that its parts fit together when it was read.
pub(crate) enum Key {
    /// RSA with the values for the Chinese remainder theorem.
    Rsa(RsaPrivate),
    /// EC on one of the curves of ECDSA.
    Ec(EcPrivate),
    /// Ed25519.
    Ed25519(Ed25519Private),
    /// ML-DSA.
    MlDsa(MlDsaPrivate),
}

// SAFETY: a key has no tie to the thread that made it, and the reference counts inside are atomic.
unsafe impl Send for Pkey {}
// SAFETY: `openssl/evp.h`, `rsa.h` and `ec_key.h` promise that a key may be used by several threads at once as long as
// none changes it. After `Key::read` this module only reads keys: signing and decrypting are documented as such, and
// what RSA caches on first use (Montgomery values, blinding) AWS-LC guards with the lock inside the RSA object. ML-DSA keys
// cache nothing.
unsafe impl Sync for Pkey {}

impl Key {
    /// Reads PKCS #8 DER. None when it is anything but one private key of a known kind with all its parts.
    pub(crate) fn read(pkcs8: &[u8]) -> Option<Key> {
        let _queue = ErrorQueue;
        let key = parsed(pkcs8)?;
        // SAFETY: the key is valid.
        match unsafe { lc::EVP_PKEY_id(key.as_ptr()) } {
            lc::EVP_PKEY_RSA => RsaPrivate::new(key).map(Key::Rsa),
            lc::EVP_PKEY_EC => EcPrivate::new(key).map(Key::Ec),
            lc::EVP_PKEY_ED25519 => Ed25519Private::new(&key).map(Key::Ed25519),
            lc::EVP_PKEY_PQDSA => MlDsaPrivate::new(key, pkcs8).map(Key::MlDsa),
            _ => None,
        }
    }

    /// The public part; none when AWS-LC is out of memory.
    pub(crate) fn public(&self) -> Option<PublicPart> {
        match self {
            Key::Rsa(key) => key.public(),
            Key::Ec(key) => key.public(),
            Key::Ed25519(key) => Some(key.public()),
            Key::MlDsa(key) => key.public(),
        }
    }
}

/// The one private key that the bytes are, whatever its type.
fn parsed(pkcs8: &[u8]) -> Option<Pkey> {
    let mut input = lc::CBS { data: pkcs8.as_ptr(), len: pkcs8.len() };
    // SAFETY: reads within `input`, which is the slice.
    let key = unsafe { Pkey::take(lc::EVP_parse_private_key(&mut input)) }?;
    (input.len == 0).then_some(key)
}

/// The PKCS #8 that AWS-LC writes of the key that it reads from one: without attributes, an EC key with its public key
/// and a named curve.
pub(crate) fn rewritten(bytes: &[u8]) -> Option<Secret> {
    let _queue = ErrorQueue;
    let key = parsed(bytes)?;
    // SAFETY: the key is valid; what is set belongs to it alone.
    unsafe {
        if lc::EVP_PKEY_id(key.as_ptr()) == lc::EVP_PKEY_EC {
            lc::EC_KEY_set_enc_flags(lc::EVP_PKEY_get0_EC_KEY(key.as_ptr()), 0);
        }
    }
    pkcs8(&key)
}

/// Makes a key of a type that EVP makes; `set` gives the context its parameters.
fn generate(id: c_int, set: impl FnOnce(*mut lc::EVP_PKEY_CTX) -> bool) -> Option<Pkey> {
    let mut key = ptr::null_mut();
    // SAFETY: makes a new context, and with it a new key or null.
    unsafe {
        let context = PkeyContext::take(lc::EVP_PKEY_CTX_new_id(id, ptr::null_mut()))?;
        let context = context.as_ptr();
        let done =
            lc::EVP_PKEY_keygen_init(context) == 1 && set(context) && lc::EVP_PKEY_keygen(context, &mut key) == 1;
        Pkey::take(key).filter(|_| done)
    }
}

fn pkcs8(key: &Pkey) -> Option<Secret> {
    let mut buffer = Zeroizing::new(vec![0; PKCS8_LEN_MAX]);
    let mut output = std::mem::MaybeUninit::<lc::CBB>::uninit();
    let mut len = 0;
    // SAFETY: `CBB_zero` initialises the writer, which `CBB_init_fixed` then bounds to the buffer. `CBB_cleanup` frees
    // what the writer itself holds, never the buffer.
    let done = unsafe {
        lc::CBB_zero(output.as_mut_ptr());
        let done = lc::CBB_init_fixed(output.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len()) == 1
            && lc::EVP_marshal_private_key(output.as_mut_ptr(), key.as_ptr()) == 1
            && lc::CBB_finish(output.as_mut_ptr(), ptr::null_mut(), &mut len) == 1;
        lc::CBB_cleanup(output.as_mut_ptr());
        done
    };
    if done { buffer.get(..len).map(Secret::from) } else { None }
}

fn message_digest(hash: HashFunction) -> *const lc::EVP_MD {
    // SAFETY: each returns a pointer to a constant table.
    unsafe {
        match hash {
            HashFunction::Sha1 => lc::EVP_sha1(),
            HashFunction::Sha224 => lc::EVP_sha224(),
            HashFunction::Sha256 => lc::EVP_sha256(),
            HashFunction::Sha384 => lc::EVP_sha384(),
            HashFunction::Sha512 => lc::EVP_sha512(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_queue_is_empty_after_a_failure() {
        assert!(Key::read(b"no key").is_none());
        // SAFETY: reads this thread's own queue.
        assert_eq!(unsafe { lc::ERR_peek_error() }, 0);
    }
}
