//! AES key wrap, and RSA encryption: what wraps users' keys, beside AES-GCM.

use zeroize::Zeroizing;

use super::{AesSchedule, ErrorQueue, HashFunction, Pkey, PkeyContext, Secret, c_int, lc, message_digest, ptr};

/// What KW and KWP put in front of their input (RFC 3394 §2.2.3, RFC 5649 §3).
const WRAP_LEN: usize = 8;

/// KW (RFC 3394, SP 800-38F §6.2) with the default initial value. Takes a schedule that encrypts. None unless `plain` is 16
/// bytes or more, in blocks of 8.
pub(crate) fn kw_wrap(schedule: &AesSchedule, plain: &[u8]) -> Option<Vec<u8>> {
    let _queue = ErrorQueue;
    let mut wrapped = vec![0; plain.len() + WRAP_LEN];
    // SAFETY: null is the default initial value; writes `plain.len() + 8` bytes, or nothing.
    let written =
        unsafe { lc::AES_wrap_key(schedule.as_ptr(), ptr::null(), wrapped.as_mut_ptr(), plain.as_ptr(), plain.len()) };
    (usize::try_from(written) == Ok(wrapped.len())).then_some(wrapped)
}

/// What [`kw_wrap`] made, in clear. Takes a schedule that decrypts.
pub(crate) fn kw_unwrap(schedule: &AesSchedule, wrapped: &[u8]) -> Option<Secret> {
    let _queue = ErrorQueue;
    let mut plain = Zeroizing::new(vec![0; wrapped.len().checked_sub(WRAP_LEN)?]);
    // SAFETY: null is the default initial value; writes `wrapped.len() - 8` bytes, or nothing.
    let written = unsafe {
        lc::AES_unwrap_key(schedule.as_ptr(), ptr::null(), plain.as_mut_ptr(), wrapped.as_ptr(), wrapped.len())
    };
    (usize::try_from(written) == Ok(plain.len())).then(|| Secret::from(plain.as_slice()))
}

/// KWP (RFC 5649, SP 800-38F §6.3). Takes a schedule that encrypts. None when `plain` is empty.
pub(crate) fn kwp_wrap(schedule: &AesSchedule, plain: &[u8]) -> Option<Vec<u8>> {
    let _queue = ErrorQueue;
    let mut wrapped = vec![0; plain.len().next_multiple_of(8).max(8) + WRAP_LEN];
    let mut written = 0;
    // SAFETY: writes at most `wrapped.len()` bytes to `wrapped`, reads `plain.len()` bytes of `plain`.
    let done = unsafe {
        lc::AES_wrap_key_padded(
            schedule.as_ptr(),
            wrapped.as_mut_ptr(),
            &mut written,
            wrapped.len(),
            plain.as_ptr(),
            plain.len(),
        )
    };
    (done == 1 && written == wrapped.len()).then_some(wrapped)
}

/// What [`kwp_wrap`] made, in clear. Takes a schedule that decrypts.
pub(crate) fn kwp_unwrap(schedule: &AesSchedule, wrapped: &[u8]) -> Option<Secret> {
    let _queue = ErrorQueue;
    let mut plain = Zeroizing::new(vec![0; wrapped.len()]);
    let mut written = 0;
    // SAFETY: writes at most `plain.len()` bytes to `plain`, reads `wrapped.len()` bytes of `wrapped`.
    let done = unsafe {
        lc::AES_unwrap_key_padded(
            schedule.as_ptr(),
            plain.as_mut_ptr(),
            &mut written,
            plain.len(),
            wrapped.as_ptr(),
            wrapped.len(),
        )
    };
    if done == 1 { plain.get(..written).map(Secret::from) } else { None }
}

/// An RSA public key.
pub(crate) struct RsaEncryption(Pkey);

impl RsaEncryption {
    /// Reads a SubjectPublicKeyInfo. None when it is anything but one RSA key.
    pub(crate) fn read(spki: &[u8]) -> Option<RsaEncryption> {
        let _queue = ErrorQueue;
        let mut input = lc::CBS { data: spki.as_ptr(), len: spki.len() };
        // SAFETY: reads within `input`, which is the slice.
        let key = unsafe { Pkey::take(lc::EVP_parse_public_key(&mut input)) }?;
        // SAFETY: the key is valid.
        let is_rsa = unsafe { lc::EVP_PKEY_id(key.as_ptr()) } == lc::EVP_PKEY_RSA;
        (is_rsa && input.len == 0).then_some(RsaEncryption(key))
    }

    /// RSAES-OAEP (RFC 8017 §7.1), MGF1 with the same hash, empty label.
    pub(crate) fn oaep(&self, hash: HashFunction, plain: &[u8]) -> Option<Vec<u8>> {
        let hash = message_digest(hash);
        // SAFETY: the context is valid; the hash is a constant table.
        self.encrypt(plain, lc::RSA_PKCS1_OAEP_PADDING, |context| unsafe {
            lc::EVP_PKEY_CTX_set_rsa_oaep_md(context, hash) == 1 && lc::EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash) == 1
        })
    }

    /// RSAES-PKCS1-v1_5 (RFC 8017 §7.2).
    pub(crate) fn pkcs1(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.encrypt(plain, lc::RSA_PKCS1_PADDING, |_| true)
    }

    /// A whole block.
    pub(crate) fn raw(&self, block: &[u8]) -> Option<Vec<u8>> {
        self.encrypt(block, lc::RSA_NO_PADDING, |_| true)
    }

    fn encrypt(&self, plain: &[u8], padding: c_int, set: impl Fn(*mut lc::EVP_PKEY_CTX) -> bool) -> Option<Vec<u8>> {
        let _queue = ErrorQueue;
        // SAFETY: the key is an RSA key.
        let len = unsafe { lc::RSA_size(lc::EVP_PKEY_get0_RSA(self.0.as_ptr())) } as usize;
        let mut encrypted = vec![0; len];
        let mut written = encrypted.len();
        // SAFETY: the context takes a reference to the key; `EVP_PKEY_encrypt` writes at most `written` bytes to
        // `encrypted` and reads `plain.len()` bytes of `plain`.
        let done = unsafe {
            let context = PkeyContext::take(lc::EVP_PKEY_CTX_new(self.0.as_ptr(), ptr::null_mut()))?;
            let context = context.as_ptr();
            lc::EVP_PKEY_encrypt_init(context) == 1
                && lc::EVP_PKEY_CTX_set_rsa_padding(context, padding) == 1
                && set(context)
                && lc::EVP_PKEY_encrypt(context, encrypted.as_mut_ptr(), &mut written, plain.as_ptr(), plain.len()) == 1
        };
        (done && written == encrypted.len()).then_some(encrypted)
    }
}
