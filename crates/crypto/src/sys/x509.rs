//! X.509 by AWS-LC: version 1 certificates, which other Rust parsers refuse, are what customers' CAs commonly issue.

use std::ffi::{c_int, c_long};
use std::ptr::{self, NonNull};

use aws_lc_sys as lc;

use super::{ErrorQueue, owned};
use crate::certificates::PathError;

owned!(
    /// A certificate.
    X509,
    lc::X509,
    X509_free
);
owned!(
    /// A PKCS #10 request.
    X509Request,
    lc::X509_REQ,
    X509_REQ_free
);
owned!(
    /// A public key.
    PublicKey,
    lc::EVP_PKEY,
    EVP_PKEY_free
);
owned!(
    /// Trusted certificates.
    Store,
    lc::X509_STORE,
    X509_STORE_free
);
owned!(
    /// One verification of one certificate.
    StoreContext,
    lc::X509_STORE_CTX,
    X509_STORE_CTX_free
);
owned!(
    /// A list of borrowed pointers: freeing it frees none of them.
    Stack,
    lc::OPENSSL_STACK,
    OPENSSL_sk_free
);

/// What a certificate says.
pub(crate) struct CertificateFields {
    /// 1 or 3.
    pub(crate) version: u8,
    /// DER of the subject's name.
    pub(crate) subject: Vec<u8>,
    /// DER of the issuer's name.
    pub(crate) issuer: Vec<u8>,
    /// DER of the SubjectPublicKeyInfo.
    pub(crate) spki: Vec<u8>,
    /// notBefore, Unix time.
    pub(crate) not_before: i64,
    /// notAfter, Unix time.
    pub(crate) not_after: i64,
    /// Whether it may issue: CA:TRUE and, if there is a key usage, keyCertSign; or a self-issued version 1.
    pub(crate) may_issue: bool,
}

/// What a request asks for. That it exists says that its signature verified.
pub(crate) struct RequestFields {
    /// DER of the subject's name.
    pub(crate) subject: Vec<u8>,
    /// DER of the SubjectPublicKeyInfo.
    pub(crate) spki: Vec<u8>,
}

/// Reads the DER of one certificate and nothing behind it. None as well when its public key is of an unknown kind.
pub(crate) fn certificate(der: &[u8]) -> Option<CertificateFields> {
    let _queue = ErrorQueue;
    let x509 = parse(der)?;
    let raw = x509.as_ptr();
    // SAFETY: the certificate is valid; names and times belong to it and are read while it lives. Only
    // `X509_check_ca` changes anything, its cache, and the certificate is this thread's alone.
    unsafe {
        let key = PublicKey::take(lc::X509_get_pubkey(raw))?;
        Some(CertificateFields {
            version: u8::try_from(lc::X509_get_version(raw)).ok()? + 1,
            subject: encoded(|out| lc::i2d_X509_NAME(lc::X509_get_subject_name(raw), out))?,
            issuer: encoded(|out| lc::i2d_X509_NAME(lc::X509_get_issuer_name(raw), out))?,
            spki: encoded(|out| lc::i2d_PUBKEY(key.as_ptr(), out))?,
            not_before: unix_time(lc::X509_get0_notBefore(raw))?,
            not_after: unix_time(lc::X509_get0_notAfter(raw))?,
            may_issue: lc::X509_check_ca(raw) == 1,
        })
    }
}

/// Whether the issuer's key made the subject's signature. Names and rights are not looked at.
pub(crate) fn is_issued_by(subject: &[u8], issuer: &[u8]) -> bool {
    let _queue = ErrorQueue;
    let (Some(subject), Some(issuer)) = (parse(subject), parse(issuer)) else { return false };
    // SAFETY: both certificates are valid; the key is a reference of our own.
    unsafe {
        let Some(key) = PublicKey::take(lc::X509_get_pubkey(issuer.as_ptr())) else { return false };
        lc::X509_verify(subject.as_ptr(), key.as_ptr()) == 1
    }
}

/// Reads the DER of one PKCS #10 request and checks that its own key signed it.
pub(crate) fn request(der: &[u8]) -> Option<RequestFields> {
    let _queue = ErrorQueue;
    let (mut next, len) = (der.as_ptr(), c_long::try_from(der.len()).ok()?);
    // SAFETY: reads at most `len` bytes from `next`, and moves `next` behind what it read.
    let request = unsafe { X509Request::take(lc::d2i_X509_REQ(ptr::null_mut(), &mut next, len)) }?;
    if next != der.as_ptr_range().end {
        return None;
    }
    // SAFETY: the request is valid; the name belongs to it and is read while it lives; the key is our own reference.
    unsafe {
        let key = PublicKey::take(lc::X509_REQ_get_pubkey(request.as_ptr()))?;
        if lc::X509_REQ_verify(request.as_ptr(), key.as_ptr()) != 1 {
            return None;
        }
        Some(RequestFields {
            subject: encoded(|out| lc::i2d_X509_NAME(lc::X509_REQ_get_subject_name(request.as_ptr()), out))?,
            spki: encoded(|out| lc::i2d_PUBKEY(key.as_ptr(), out))?,
        })
    }
}

/// What a path is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Whatever the leaf may be.
    Any,
    /// A TLS client under the first of the anchors: its key usage and extended key usage, if it has them, name that use,
    /// and the path leads over that anchor.
    ClientOfFirst,
}

/// Looks for a path from `leaf` over `intermediates` to a self-signed certificate among `anchors`, all valid at `now`
/// (Unix time). The leaf's names are not looked at.
pub(crate) fn verify_path(
    leaf: &[u8],
    intermediates: &[&[u8]],
    anchors: &[&[u8]],
    now: i64,
    purpose: Purpose,
) -> Result<(), PathError> {
    let _queue = ErrorQueue;
    let leaf = parse(leaf).ok_or(PathError::Unreadable)?;
    let untrusted = parse_all(intermediates)?;
    let trusted = parse_all(anchors)?;
    let out_of_memory = PathError::Rule { number: lc::X509_V_ERR_OUT_OF_MEM };
    // SAFETY: makes a new store and a new list.
    let (store, list) = unsafe { (Store::take(lc::X509_STORE_new()), Stack::take(lc::OPENSSL_sk_new_null())) };
    let (store, list) = store.zip(list).ok_or(out_of_memory)?;
    for anchor in &trusted {
        // SAFETY: both are valid; the store takes a reference of its own.
        if unsafe { lc::X509_STORE_add_cert(store.as_ptr(), anchor.as_ptr()) } != 1 {
            return Err(out_of_memory);
        }
    }
    for certificate in &untrusted {
        // SAFETY: the list borrows the pointer; `untrusted` outlives every use of the list below.
        if unsafe { lc::OPENSSL_sk_push(list.as_ptr(), certificate.as_ptr().cast()) } == 0 {
            return Err(out_of_memory);
        }
    }
    // SAFETY: makes a new context.
    let context = unsafe { StoreContext::take(lc::X509_STORE_CTX_new()) }.ok_or(out_of_memory)?;
    // SAFETY: store, leaf and list were made before the context and are dropped after it. A list of X509 is an
    // OPENSSL_STACK under another name. Without flags a path must end at a self-signed certificate of the store, and
    // without a purpose none is checked. The chain belongs to the context and is read while that lives.
    unsafe {
        if lc::X509_STORE_CTX_init(context.as_ptr(), store.as_ptr(), leaf.as_ptr(), list.as_ptr().cast()) != 1 {
            return Err(out_of_memory);
        }
        lc::X509_STORE_CTX_set_time_posix(context.as_ptr(), 0, now);
        if purpose == Purpose::ClientOfFirst
            && lc::X509_STORE_CTX_set_purpose(context.as_ptr(), lc::X509_PURPOSE_SSL_CLIENT) != 1
        {
            return Err(out_of_memory);
        }
        if lc::X509_verify_cert(context.as_ptr()) != 1 {
            return Err(fault(lc::X509_STORE_CTX_get_error(context.as_ptr())));
        }
        if purpose == Purpose::Any {
            return Ok(());
        }
        // AWS-LC takes a key that agrees on keys for a client as well. In TLS 1.3 a client signs (RFC 8446 §4.4.2.4).
        if lc::X509_get_key_usage(leaf.as_ptr()) & lc::X509v3_KU_DIGITAL_SIGNATURE.cast_unsigned() == 0 {
            return Err(PathError::Purpose);
        }
        let chain = lc::X509_STORE_CTX_get0_chain(context.as_ptr()).cast_const().cast();
        if !is_strong(chain) {
            return Err(PathError::Weak);
        }
        let leads_over_first = trusted.first().is_some_and(|first| {
            (0..lc::OPENSSL_sk_num(chain)).any(|at| {
                let certificate: *const lc::X509 = lc::OPENSSL_sk_value(chain, at).cast_const().cast();
                !certificate.is_null() && lc::X509_cmp(certificate, first.as_ptr()) == 0
            })
        });
        if leads_over_first { Ok(()) } else { Err(PathError::IssuerUnknown) }
    }
}

/// Bits of an RSA key that vouches for another.
const RSA_BITS_MIN: c_int = 2048;

/// Whether no certificate but the root, which nobody's signature vouches for, is signed with SHA-1, and no RSA key is too
/// short. Whoever finds two requests with one SHA-1 has a certificate that the CA never meant to issue.
///
/// # Safety
///
/// `chain` is a list of valid certificates, the leaf first, that lives as long as the call.
unsafe fn is_strong(chain: *const lc::OPENSSL_STACK) -> bool {
    // SAFETY: the list and its certificates are valid, says the caller; what is asked of them is theirs and is read here.
    unsafe {
        let len = lc::OPENSSL_sk_num(chain);
        (0..len).all(|at| {
            let certificate: *const lc::X509 = lc::OPENSSL_sk_value(chain, at).cast_const().cast();
            if certificate.is_null() {
                return false;
            }
            let mut digest = lc::NID_undef;
            // RSASSA-PSS and EdDSA have no digest of their own by this table; AWS-LC takes them with SHA-256 or better.
            lc::OBJ_find_sigid_algs(lc::X509_get_signature_nid(certificate), &raw mut digest, std::ptr::null_mut());
            let key = lc::X509_get0_pubkey(certificate);
            let is_short = !key.is_null()
                && lc::EVP_PKEY_base_id(key) == lc::EVP_PKEY_RSA
                && lc::EVP_PKEY_bits(key) < RSA_BITS_MIN;
            let is_root = at + 1 == len;
            !key.is_null() && !is_short && (is_root || digest != lc::NID_sha1)
        })
    }
}

fn fault(error: c_int) -> PathError {
    match error {
        lc::X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
        | lc::X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        | lc::X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
        | lc::X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
        | lc::X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN => PathError::IssuerUnknown,
        lc::X509_V_ERR_CERT_SIGNATURE_FAILURE => PathError::Signature,
        lc::X509_V_ERR_CERT_NOT_YET_VALID => PathError::NotYetValid,
        lc::X509_V_ERR_CERT_HAS_EXPIRED => PathError::Expired,
        lc::X509_V_ERR_INVALID_CA => PathError::IssuerNotCa,
        lc::X509_V_ERR_INVALID_PURPOSE => PathError::Purpose,
        number => PathError::Rule { number },
    }
}

fn parse_all(certificates: &[&[u8]]) -> Result<Vec<X509>, PathError> {
    certificates.iter().map(|der| parse(der).ok_or(PathError::Unreadable)).collect()
}

fn parse(der: &[u8]) -> Option<X509> {
    let (mut next, len) = (der.as_ptr(), c_long::try_from(der.len()).ok()?);
    // SAFETY: reads at most `len` bytes from `next`, and moves `next` behind what it read.
    let x509 = unsafe { X509::take(lc::d2i_X509(ptr::null_mut(), &mut next, len)) }?;
    (next == der.as_ptr_range().end).then_some(x509)
}

/// Runs an `i2d` function that allocates its output, and copies that.
fn encoded(encode: impl FnOnce(*mut *mut u8) -> c_int) -> Option<Vec<u8>> {
    let mut out = ptr::null_mut();
    let len = encode(&mut out);
    let out = NonNull::new(out)?;
    let bytes = usize::try_from(len).ok().map(|len| {
        // SAFETY: the function said that it wrote `len` bytes at `out`.
        unsafe { std::slice::from_raw_parts(out.as_ptr(), len) }.to_vec()
    });
    // SAFETY: `out` was allocated by AWS-LC for us, and nothing points to it any more.
    unsafe { lc::OPENSSL_free(out.as_ptr().cast()) };
    bytes
}

/// # Safety
/// `time` is null or a valid time.
unsafe fn unix_time(time: *const lc::ASN1_TIME) -> Option<i64> {
    let mut seconds = 0;
    // SAFETY: the caller's promise; null was ruled out.
    let done = !time.is_null() && unsafe { lc::ASN1_TIME_to_posix(time, &mut seconds) } == 1;
    done.then_some(seconds)
}
