//! Every call of AWS-LC's C interface that this room makes.
//!
//! * Each C object is owned by exactly one Rust value, which frees it; AWS-LC wipes what it frees.
//! * The thread's error queue is empty after each function: reasons are for people with a debugger, and reasons of a
//!   failed decryption are for nobody.

mod des;
mod ed25519;
mod ml_dsa;
mod wrap;

use std::ffi::c_int;
use std::ptr::{self, NonNull};

use aws_lc_sys as lc;
use strongroom_types::{Curve, HashFunction, PublicPart, Secret};
use zeroize::Zeroizing;

pub(crate) use des::des3_encrypt_block;
pub(crate) use ed25519::{Ed25519Private, generate_ed25519};
pub(crate) use ml_dsa::{MlDsaPrivate, generate_ml_dsa};
pub(crate) use wrap::{RsaEncryption, gcm_open, gcm_seal, kw_unwrap, kw_wrap, kwp_unwrap, kwp_wrap};

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

/// An RSA private key.
pub(crate) struct RsaPrivate(Pkey);

/// An EC private key.
pub(crate) struct EcPrivate {
    key: Pkey,
    curve: Curve,
}

// SAFETY: a key has no tie to the thread that made it, and the reference counts inside are atomic.
unsafe impl Send for Pkey {}
// SAFETY: `openssl/evp.h`, `rsa.h` and `ec_key.h` promise that a key may be used by several threads at once as long as
// none changes it. After `Key::read` this module only reads keys: signing and decrypting are documented as such, and
// what RSA caches on first use (Montgomery values, blinding) AWS-LC guards with the lock inside the RSA object.
unsafe impl Sync for Pkey {}

impl Key {
    /// Reads PKCS #8 DER. None when it is anything but one private key of a known kind with all its parts.
    pub(crate) fn read(pkcs8: &[u8]) -> Option<Key> {
        let _queue = ErrorQueue;
        let key = parsed(pkcs8)?;
        // SAFETY: the key is valid.
        match unsafe { lc::EVP_PKEY_id(key.as_ptr()) } {
            lc::EVP_PKEY_RSA => {
                let key = RsaPrivate(key);
                key.has_all_parts().then_some(Key::Rsa(key))
            }
            lc::EVP_PKEY_EC => {
                // SAFETY: the key is an EC key; key and group are borrowed from it while it lives.
                let nid = unsafe {
                    lc::EC_GROUP_get_curve_name(lc::EC_KEY_get0_group(lc::EVP_PKEY_get0_EC_KEY(key.as_ptr())))
                };
                let curve = *Curve::ALL.iter().find(|curve| curve_nid(**curve) == Some(nid))?;
                Some(Key::Ec(EcPrivate { key, curve }))
            }
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

impl RsaPrivate {
    fn rsa(&self) -> *mut lc::RSA {
        // SAFETY: the key is an RSA key and keeps the pointer valid while it lives.
        unsafe { lc::EVP_PKEY_get0_RSA(self.0.as_ptr()) }
    }

    /// Modulus length in bytes.
    fn len(&self) -> usize {
        // SAFETY: the key is valid.
        unsafe { lc::RSA_size(self.rsa()) as usize }
    }

    /// AWS-LC also reads keys without e or without the primes. It could not check results of the former, and the
    /// latter are slow.
    fn has_all_parts(&self) -> bool {
        let mut parts = [ptr::null(); 8];
        let [n, e, d, p, q, dmp1, dmq1, iqmp] = &mut parts;
        // SAFETY: the key is valid; each call writes pointers that it keeps, or null.
        unsafe {
            lc::RSA_get0_key(self.rsa(), n, e, d);
            lc::RSA_get0_factors(self.rsa(), p, q);
            lc::RSA_get0_crt_params(self.rsa(), dmp1, dmq1, iqmp);
        }
        parts.iter().all(|part| !part.is_null())
    }

    /// Whether p and q are two primes: reading a key checks its arithmetic, which composite numbers pass too.
    pub(crate) fn has_two_primes(&self) -> bool {
        let _queue = ErrorQueue;
        // SAFETY: the key is valid and has both numbers, which it keeps; makes a new context.
        unsafe {
            let (p, q) = (lc::RSA_get0_p(self.rsa()), lc::RSA_get0_q(self.rsa()));
            let Some(context) = BignumContext::take(lc::BN_CTX_new()) else { return false };
            let is_prime = |number| {
                let mut prime = 0;
                let checks = lc::BN_prime_checks_for_validation;
                lc::BN_primality_test(&mut prime, number, checks, context.as_ptr(), 1, ptr::null_mut()) == 1
                    && prime == 1
            };
            lc::BN_cmp(p, q) != 0 && is_prime(p) && is_prime(q)
        }
    }

    fn public(&self) -> Option<PublicPart> {
        // SAFETY: the key is valid, has both numbers, and keeps them while they are read.
        let (n, e) = unsafe { (lc::RSA_get0_n(self.rsa()), lc::RSA_get0_e(self.rsa())) };
        // SAFETY: as above.
        unsafe { Some(PublicPart::Rsa { modulus: number(n)?, public_exponent: number(e)? }) }
    }

    /// signature = padded(data)^d mod n, checked by AWS-LC with e before it is given out.
    fn sign_padded(&self, data: &[u8], padding: c_int) -> Option<Vec<u8>> {
        let _queue = ErrorQueue;
        let mut signature = vec![0; self.len()];
        let mut written = 0;
        // SAFETY: writes at most `signature.len()` bytes to `signature`, reads `data.len()` bytes of `data`.
        let done = unsafe {
            lc::RSA_sign_raw(
                self.rsa(),
                &mut written,
                signature.as_mut_ptr(),
                signature.len(),
                data.as_ptr(),
                data.len(),
                padding,
            )
        };
        (done == 1 && written == signature.len()).then_some(signature)
    }

    /// PKCS #1 v1.5, block type 1, around `data`.
    pub(crate) fn sign_pkcs1(&self, data: &[u8]) -> Option<Vec<u8>> {
        self.sign_padded(data, lc::RSA_PKCS1_PADDING)
    }

    /// A whole block.
    pub(crate) fn sign_raw(&self, block: &[u8]) -> Option<Vec<u8>> {
        self.sign_padded(block, lc::RSA_NO_PADDING)
    }

    /// RSASSA-PSS, MGF1 with the same hash.
    pub(crate) fn sign_pss(&self, hash: HashFunction, salt_len: u16, digest: &[u8]) -> Option<Vec<u8>> {
        let _queue = ErrorQueue;
        let hash = message_digest(hash);
        let mut signature = vec![0; self.len()];
        let mut written = 0;
        // SAFETY: writes at most `signature.len()` bytes to `signature`, reads `digest.len()` bytes of `digest`, whose
        // length AWS-LC compares with the hash's.
        let done = unsafe {
            lc::RSA_sign_pss_mgf1(
                self.rsa(),
                &mut written,
                signature.as_mut_ptr(),
                signature.len(),
                digest.as_ptr(),
                digest.len(),
                hash,
                hash,
                c_int::from(salt_len),
            )
        };
        (done == 1 && written == signature.len()).then_some(signature)
    }

    fn decrypt_padded(&self, data: &[u8], padding: c_int) -> Option<Secret> {
        let _queue = ErrorQueue;
        let mut plain = Zeroizing::new(vec![0; self.len()]);
        let mut written = 0;
        // SAFETY: writes at most `plain.len()` bytes to `plain`, reads `data.len()` bytes of `data`.
        let done = unsafe {
            lc::RSA_decrypt(
                self.rsa(),
                &mut written,
                plain.as_mut_ptr(),
                plain.len(),
                data.as_ptr(),
                data.len(),
                padding,
            )
        };
        if done == 1 { plain.get(..written).map(Secret::from) } else { None }
    }

    /// RSAES-PKCS1-v1_5. AWS-LC looks at the padding in constant time.
    pub(crate) fn decrypt_pkcs1(&self, data: &[u8]) -> Option<Secret> {
        self.decrypt_padded(data, lc::RSA_PKCS1_PADDING)
    }

    /// A whole block.
    pub(crate) fn decrypt_raw(&self, data: &[u8]) -> Option<Secret> {
        self.decrypt_padded(data, lc::RSA_NO_PADDING)
    }

    /// RSAES-OAEP, MGF1 with the same hash, empty label.
    pub(crate) fn decrypt_oaep(&self, hash: HashFunction, data: &[u8]) -> Option<Secret> {
        let _queue = ErrorQueue;
        let hash = message_digest(hash);
        let mut plain = Zeroizing::new(vec![0; self.len()]);
        let mut written = plain.len();
        // SAFETY: the context takes a reference to the key; `EVP_PKEY_decrypt` writes at most `written` bytes to
        // `plain` and reads `data.len()` bytes of `data`.
        let done = unsafe {
            let context = PkeyContext::take(lc::EVP_PKEY_CTX_new(self.0.as_ptr(), ptr::null_mut()))?;
            let context = context.as_ptr();
            lc::EVP_PKEY_decrypt_init(context) == 1
                && lc::EVP_PKEY_CTX_set_rsa_padding(context, lc::RSA_PKCS1_OAEP_PADDING) == 1
                && lc::EVP_PKEY_CTX_set_rsa_oaep_md(context, hash) == 1
                && lc::EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash) == 1
                && lc::EVP_PKEY_decrypt(context, plain.as_mut_ptr(), &mut written, data.as_ptr(), data.len()) == 1
        };
        if done { plain.get(..written).map(Secret::from) } else { None }
    }
}

impl EcPrivate {
    fn ec(&self) -> *mut lc::EC_KEY {
        // SAFETY: the key is an EC key and keeps the pointer valid while it lives.
        unsafe { lc::EVP_PKEY_get0_EC_KEY(self.key.as_ptr()) }
    }

    fn public(&self) -> Option<PublicPart> {
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

/// Makes an RSA key by FIPS 186-5 §A.1.3 and gives its PKCS #8. None when AWS-LC refuses the parameters, or its
/// pairwise consistency test fails.
pub(crate) fn generate_rsa(bits: c_int, public_exponent: u32) -> Option<Secret> {
    const F4: u32 = 65_537;
    let _queue = ErrorQueue;
    // SAFETY: makes a new key.
    let rsa = unsafe { Rsa::take(lc::RSA_new()) }?;
    let made = if public_exponent == F4 {
        // SAFETY: the key is ours alone; no callback. Ends with `RSA_check_fips`.
        unsafe { lc::RSA_generate_key_fips(rsa.as_ptr(), bits, ptr::null_mut()) == 1 }
    } else {
        let e = public_exponent.to_be_bytes();
        // SAFETY: reads the four bytes into a new number.
        let e = unsafe { Bignum::take(lc::BN_bin2bn(e.as_ptr(), e.len(), ptr::null_mut())) }?;
        // SAFETY: the key is ours alone, the number is copied; no callback. `RSA_check_fips` holds the pairwise test.
        unsafe {
            lc::RSA_generate_key_ex(rsa.as_ptr(), bits, e.as_ptr(), ptr::null_mut()) == 1
                && lc::RSA_check_fips(rsa.as_ptr()) == 1
        }
    };
    if !made {
        return None;
    }
    // SAFETY: makes a new key that takes a reference to the RSA key.
    unsafe {
        let key = Pkey::take(lc::EVP_PKEY_new())?;
        if lc::EVP_PKEY_set1_RSA(key.as_ptr(), rsa.as_ptr()) != 1 {
            return None;
        }
        pkcs8(&key)
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

/// The big-endian bytes of a number, without leading zeros.
///
/// # Safety
/// `number` is a valid number.
unsafe fn number(number: *const lc::BIGNUM) -> Option<Vec<u8>> {
    // SAFETY: the caller's promise.
    let len = usize::try_from(unsafe { lc::BN_num_bytes(number) }).ok()?;
    let mut bytes = vec![0; len];
    // SAFETY: as above; writes exactly `len` bytes.
    let done = unsafe { lc::BN_bn2bin_padded(bytes.as_mut_ptr(), len, number) };
    (done == 1).then_some(bytes)
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

#[cfg(test)]
mod tests {
    use strongroom_types::limits::RSA_EXPONENT_MIN;

    use super::*;

    /// Which value of the Chinese remainder theorem is wrong.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fault {
        None,
        ExponentOfP,
        ExponentOfQ,
        Coefficient,
    }

    /// The key with one value off by two, as a memory fault would leave it: behind the checks that reading makes.
    fn faulty(key: &RsaPrivate, fault: Fault) -> RsaPrivate {
        // SAFETY: the old key's numbers are copied; each `set0` takes over what it is given.
        unsafe {
            let copy = |number| {
                let copy = lc::BN_dup(number);
                assert!(!copy.is_null());
                copy
            };
            let shifted = |number, wrong: bool| {
                let copy = copy(number);
                assert!(!wrong || lc::BN_add_word(copy, 2) == 1);
                copy
            };
            let (old, rsa) = (key.rsa(), Rsa::take(lc::RSA_new()).unwrap());
            let new = rsa.as_ptr();
            let (n, e, d) = (lc::RSA_get0_n(old), lc::RSA_get0_e(old), lc::RSA_get0_d(old));
            assert_eq!(lc::RSA_set0_key(new, copy(n), copy(e), copy(d)), 1);
            assert_eq!(lc::RSA_set0_factors(new, copy(lc::RSA_get0_p(old)), copy(lc::RSA_get0_q(old))), 1);
            let dmp1 = shifted(lc::RSA_get0_dmp1(old), fault == Fault::ExponentOfP);
            let dmq1 = shifted(lc::RSA_get0_dmq1(old), fault == Fault::ExponentOfQ);
            let iqmp = shifted(lc::RSA_get0_iqmp(old), fault == Fault::Coefficient);
            assert_eq!(lc::RSA_set0_crt_params(new, dmp1, dmq1, iqmp), 1);
            let pkey = Pkey::take(lc::EVP_PKEY_new()).unwrap();
            assert_eq!(lc::EVP_PKEY_set1_RSA(pkey.as_ptr(), new), 1);
            RsaPrivate(pkey)
        }
    }

    /// One wrong RSA result is enough to compute the primes (Boneh, DeMillo, Lipton 1997). So none may leave, whatever
    /// goes wrong inside: AWS-LC checks each with the public exponent, and this is where we see that it does.
    #[test]
    fn a_faulty_rsa_result_never_leaves() {
        let exponent = u32::try_from(RSA_EXPONENT_MIN).unwrap();
        let Some(Key::Rsa(key)) = Key::read(generate_rsa(2048, exponent).unwrap().expose()) else { panic!("no key") };
        let block = [&[0][..], &[7; 255]].concat();
        for fault in [Fault::None, Fault::ExponentOfP, Fault::ExponentOfQ, Fault::Coefficient] {
            let key = faulty(&key, fault);
            let results = [
                key.sign_pkcs1(b"data").is_some(),
                key.sign_raw(&block).is_some(),
                key.sign_pss(HashFunction::Sha256, 32, &[7; 32]).is_some(),
                key.decrypt_raw(&block).is_some(),
            ];
            assert_eq!(results, [fault == Fault::None; 4], "{fault:?}");
        }
    }

    #[test]
    fn the_error_queue_is_empty_after_a_failure() {
        assert!(Key::read(b"no key").is_none());
        // SAFETY: reads this thread's own queue.
        assert_eq!(unsafe { lc::ERR_peek_error() }, 0);
    }
}
