//! Every call of AWS-LC's C interface that this room makes.
//!
//! * Each C object is owned by exactly one Rust value, which frees it; none leaves this module, none is shared between
//!   threads.
//! * Functions here take and give plain bytes. The thread's error queue is empty after each of them: what AWS-LC puts
//!   there is for people with a debugger, our callers are told by `None` and `false`.

mod edwards;
mod ml_dsa;
mod x509;

use std::ffi::c_int;
use std::ptr::{self, NonNull};

use aws_lc_sys as lc;
use strongroom_types::{Curve, HashFunction};

pub(crate) use edwards::{is_on_edwards25519, verify_ed25519, verify_ed25519ph};
pub(crate) use ml_dsa::{MlDsaPublic, Shake256};
pub(crate) use x509::{Purpose, certificate, is_issued_by, request, verify_path};

/// Empties the thread's error queue when a call of this module ends.
struct ErrorQueue;

impl Drop for ErrorQueue {
    fn drop(&mut self) {
        // SAFETY: touches nothing but the calling thread's own queue.
        unsafe { lc::ERR_clear_error() }
    }
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
    /// A number.
    Bignum,
    lc::BIGNUM,
    BN_free
);
owned!(
    /// An RSA key, public part only.
    Rsa,
    lc::RSA,
    RSA_free
);
owned!(
    /// An EC key, public part only.
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
    /// r and s.
    EcdsaSignature,
    lc::ECDSA_SIG,
    ECDSA_SIG_free
);

impl Bignum {
    fn new(bytes: &[u8]) -> Option<Bignum> {
        // SAFETY: reads `bytes.len()` bytes, and makes a new number because none is given.
        unsafe { Bignum::take(lc::BN_bin2bn(bytes.as_ptr(), bytes.len(), ptr::null_mut())) }
    }

    /// Gives the number away.
    fn into_raw(self) -> *mut lc::BIGNUM {
        let raw = self.as_ptr();
        std::mem::forget(self);
        raw
    }
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

/// An RSA public key that passed AWS-LC's checks.
pub(crate) struct RsaPublic(Rsa);

impl RsaPublic {
    /// None when the numbers cannot be a key.
    pub(crate) fn new(modulus: &[u8], public_exponent: &[u8]) -> Option<RsaPublic> {
        let _queue = ErrorQueue;
        let (n, e) = (Bignum::new(modulus)?, Bignum::new(public_exponent)?);
        // SAFETY: both numbers live through the call, which copies them.
        unsafe { Rsa::take(lc::RSA_new_public_key(n.as_ptr(), e.as_ptr())).map(RsaPublic) }
    }

    /// The block under a signature: signature^e mod n, modulus length. None when the signature's length or value does
    /// not fit the modulus.
    pub(crate) fn recover(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let _queue = ErrorQueue;
        // SAFETY: the key is valid.
        let len = usize::try_from(unsafe { lc::RSA_size(self.0.as_ptr()) }).ok()?;
        let mut block = vec![0; len];
        let mut written = 0;
        // SAFETY: writes at most `block.len()` bytes to `block`, reads `signature.len()` bytes; without padding.
        let done = unsafe {
            lc::RSA_verify_raw(
                self.0.as_ptr(),
                &mut written,
                block.as_mut_ptr(),
                block.len(),
                signature.as_ptr(),
                signature.len(),
                lc::RSA_NO_PADDING,
            )
        };
        (done == 1 && written == len).then_some(block)
    }

    /// RSASSA-PSS with MGF1 by the same hash and a salt of exactly this length.
    pub(crate) fn verify_pss(&self, hash: HashFunction, salt_len: u16, digest: &[u8], signature: &[u8]) -> bool {
        let _queue = ErrorQueue;
        let hash = message_digest(hash);
        // SAFETY: reads the digest and the signature by their lengths; AWS-LC checks that the digest's fits the hash.
        let good = unsafe {
            lc::RSA_verify_pss_mgf1(
                self.0.as_ptr(),
                digest.as_ptr(),
                digest.len(),
                hash,
                hash,
                c_int::from(salt_len),
                signature.as_ptr(),
                signature.len(),
            )
        };
        good == 1
    }
}

/// An EC public key whose point is on its curve.
pub(crate) struct EcPublic(EcKey);

impl EcPublic {
    /// None when `point` is not `04 || x || y` of a point on a curve of ECDSA.
    pub(crate) fn new(curve: Curve, point: &[u8]) -> Option<EcPublic> {
        let _queue = ErrorQueue;
        let name = curve_nid(curve)?;
        if !curve.has_form_of_point(point) {
            return None;
        }
        // SAFETY: makes a new key on a built-in curve.
        let key = unsafe { EcKey::take(lc::EC_KEY_new_by_curve_name(name)) }?;
        // SAFETY: the group belongs to the key, which outlives this function's use of it.
        let group = unsafe { lc::EC_KEY_get0_group(key.as_ptr()) };
        // SAFETY: makes a new point of the group.
        let place = unsafe { EcPoint::take(lc::EC_POINT_new(group)) }?;
        // SAFETY: reads `point.len()` bytes; refuses points that are not on the curve. The key copies the point.
        let done = unsafe {
            lc::EC_POINT_oct2point(group, place.as_ptr(), point.as_ptr(), point.len(), ptr::null_mut()) == 1
                && lc::EC_KEY_set_public_key(key.as_ptr(), place.as_ptr()) == 1
                && lc::EC_KEY_check_key(key.as_ptr()) == 1
        };
        done.then_some(EcPublic(key))
    }

    /// ECDSA over a digest of any length, which is cut to the order's length.
    pub(crate) fn verify(&self, digest: &[u8], r: &[u8], s: &[u8]) -> bool {
        let _queue = ErrorQueue;
        let (Some(r), Some(s)) = (Bignum::new(r), Bignum::new(s)) else { return false };
        // SAFETY: makes a new, empty signature.
        let Some(signature) = (unsafe { EcdsaSignature::take(lc::ECDSA_SIG_new()) }) else { return false };
        // SAFETY: the signature takes over both numbers; it fails for null only, which these are not.
        let set = unsafe { lc::ECDSA_SIG_set0(signature.as_ptr(), r.into_raw(), s.into_raw()) };
        assert_eq!(set, 1, "ECDSA_SIG_set0 fails for null pointers only");
        // SAFETY: reads `digest.len()` bytes; key and signature are valid.
        unsafe { lc::ECDSA_do_verify(digest.as_ptr(), digest.len(), signature.as_ptr(), self.0.as_ptr()) == 1 }
    }
}

/// None for the curve that AWS-LC does not count among those of `EC_KEY`.
fn curve_nid(curve: Curve) -> Option<c_int> {
    match curve {
        Curve::Ed25519 => None,
        Curve::P224 => Some(lc::NID_secp224r1),
        Curve::P256 => Some(lc::NID_X9_62_prime256v1),
        Curve::P384 => Some(lc::NID_secp384r1),
        Curve::P521 => Some(lc::NID_secp521r1),
        Curve::Secp256k1 => Some(lc::NID_secp256k1),
    }
}
