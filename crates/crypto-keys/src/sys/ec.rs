//! EC keys on the curves of ECDSA (FIPS 186-5 §6).

use std::ffi::c_int;
use std::ptr;

use aws_lc_sys as lc;
use strongroom_types::{Curve, PublicPart, Secret};

use zeroize::Zeroizing;

use super::{EcKey, EcPoint, EcdsaSignature, ErrorQueue, Pkey, pkcs8};

/// An EC private key.
pub(crate) struct EcPrivate {
    key: Pkey,
    curve: Curve,
}

impl EcPrivate {
    /// None when the curve is not one of those that are known by name.
    pub(super) fn new(key: Pkey) -> Option<EcPrivate> {
        // SAFETY: the key is an EC key; key and group are borrowed from it while it lives.
        let nid = unsafe { lc::EC_GROUP_get_curve_name(lc::EC_KEY_get0_group(lc::EVP_PKEY_get0_EC_KEY(key.as_ptr()))) };
        let curve = *Curve::ALL.iter().find(|curve| curve_nid(**curve) == Some(nid))?;
        Some(EcPrivate { key, curve })
    }

    fn ec(&self) -> *mut lc::EC_KEY {
        // SAFETY: the key is an EC key and keeps the pointer valid while it lives.
        unsafe { lc::EVP_PKEY_get0_EC_KEY(self.key.as_ptr()) }
    }

    pub(super) fn public(&self) -> Option<PublicPart> {
        let mut point = vec![0; self.curve.point_len()];
        // SAFETY: group and point belong to the valid key; writes at most `point.len()` bytes to `point`.
        let written = unsafe {
            lc::EC_POINT_point2oct(
                lc::EC_KEY_get0_group(self.ec()),
                lc::EC_KEY_get0_public_key(self.ec()),
                lc::point_conversion_form_t::POINT_CONVERSION_UNCOMPRESSED,
                point.as_mut_ptr(),
                point.len(),
                ptr::null_mut(),
            )
        };
        (written == point.len()).then_some(PublicPart::Ec { curve: self.curve, point })
    }

    /// The x coordinate of the point multiplied with the scalar, as long as a field element. None when the bytes are not
    /// `04 || x || y` of a point on the curve.
    pub(crate) fn agree(&self, peer_point: &[u8]) -> Option<Secret> {
        let _queue = ErrorQueue;
        if !self.curve.has_form_of_point(peer_point) {
            return None;
        }
        let mut secret = Zeroizing::new(vec![0; self.curve.field_len()]);
        // SAFETY: the group belongs to the valid key. `EC_POINT_oct2point` reads the bytes and refuses a point that is not on
        // the curve; `ECDH_compute_key` checks it once more, and writes at most `secret.len()` bytes.
        let written = unsafe {
            let group = lc::EC_KEY_get0_group(self.ec());
            let point = EcPoint::take(lc::EC_POINT_new(group))?;
            let bytes = peer_point.as_ptr();
            if lc::EC_POINT_oct2point(group, point.as_ptr(), bytes, peer_point.len(), ptr::null_mut()) != 1 {
                return None;
            }
            lc::ECDH_compute_key(secret.as_mut_ptr().cast(), secret.len(), point.as_ptr(), self.ec(), None)
        };
        (usize::try_from(written) == Ok(secret.len())).then(|| Secret::from(secret.as_slice()))
    }

    /// r and s of the order's length each. AWS-LC draws the nonce from its DRBG with key and digest mixed in.
    ///
    /// `ECDSA_do_sign` gives r and s as numbers: the DER that `ECDSA_sign` and EVP make would only be taken apart again.
    pub(crate) fn sign(&self, digest: &[u8]) -> Option<Vec<u8>> {
        let _queue = ErrorQueue;
        let len = self.curve.field_len();
        let mut raw = vec![0; 2 * len];
        // SAFETY: reads `digest.len()` bytes; makes a new signature, or null.
        let signature = unsafe { EcdsaSignature::take(lc::ECDSA_do_sign(digest.as_ptr(), digest.len(), self.ec())) }?;
        let (mut r, mut s) = (ptr::null(), ptr::null());
        // SAFETY: both numbers belong to the signature; each write is of exactly `len` bytes, within `raw`.
        let done = unsafe {
            lc::ECDSA_SIG_get0(signature.as_ptr(), &mut r, &mut s);
            lc::BN_bn2bin_padded(raw.as_mut_ptr(), len, r) == 1
                && lc::BN_bn2bin_padded(raw.as_mut_ptr().add(len), len, s) == 1
        };
        done.then_some(raw)
    }
}

/// Makes an EC key by FIPS 186-5 §A.2.2 and gives its PKCS #8, which holds the public key too. None when AWS-LC's
/// pairwise consistency test fails.
pub(crate) fn generate_ec(curve: Curve) -> Option<Secret> {
    let _queue = ErrorQueue;
    let name = curve_nid(curve)?;
    // SAFETY: makes a new key on a built-in curve, which is ours alone; the other key takes a reference to it.
    unsafe {
        let ec = EcKey::take(lc::EC_KEY_new_by_curve_name(name))?;
        if lc::EC_KEY_generate_key_fips(ec.as_ptr()) != 1 {
            return None;
        }
        let key = Pkey::take(lc::EVP_PKEY_new())?;
        if lc::EVP_PKEY_set1_EC_KEY(key.as_ptr(), ec.as_ptr()) != 1 {
            return None;
        }
        pkcs8(&key)
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
