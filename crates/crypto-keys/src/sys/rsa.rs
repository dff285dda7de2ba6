//! RSA (RFC 8017, FIPS 186-5 §5).

use std::ffi::c_int;
use std::ptr;

use aws_lc_sys as lc;
use strongroom_types::{HashFunction, PublicPart, Secret};
use zeroize::Zeroizing;

use super::{Bignum, BignumContext, ErrorQueue, Pkey, PkeyContext, Rsa, message_digest, pkcs8};

/// An RSA private key.
pub(crate) struct RsaPrivate(Pkey);

impl RsaPrivate {
    /// None when parts are missing.
    pub(super) fn new(key: Pkey) -> Option<RsaPrivate> {
        let key = RsaPrivate(key);
        key.has_all_parts().then_some(key)
    }

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

    pub(super) fn public(&self) -> Option<PublicPart> {
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

#[cfg(test)]
mod tests {
    use strongroom_types::limits::RSA_EXPONENT_MIN;

    use super::super::Key;
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
}
