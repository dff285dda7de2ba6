//! The EC method: signing alone is replaced. Key generation, key agreement and verification stay stock.

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

use strongroom_client::reference_pem::Marker;
use strongroom_ffi::{guarded, pointer};
use strongroom_types::{Curve, PublicPart};

use super::bignum;
use super::libcrypto::{
    Bignum, EcKey, EcKeyMethod, EcPoint, EcSign, EcSignSetup, EcSignSig, EcdsaSig, Libcrypto, LibcryptoError,
};
use super::{BOUND, Bound, entered};
use crate::engine::for_operation;
use crate::error::EngineError;
use crate::keys::{Owner, owner};
use crate::sign::{self, Key};

/// `CRYPTO_EX_INDEX_EC_KEY`.
const EC_KEY_CLASS: c_int = 8;
/// `POINT_CONVERSION_UNCOMPRESSED`.
const UNCOMPRESSED: c_int = 4;
/// Bytes of an uncompressed point on P-521.
const POINT_LEN_MAX: usize = 1 + 2 * 66;

/// Our method and what it stands before.
pub(super) struct Ec {
    method: *mut EcKeyMethod,
    sign: EcSign,
    sign_sig: EcSignSig,
    /// Where key objects keep their [`Verdict`]; negative when they can't.
    verdicts: c_int,
}

// SAFETY: the method is not changed after `new`, and OpenSSL reads it from every thread.
unsafe impl Send for Ec {}
// SAFETY: as above.
unsafe impl Sync for Ec {}

impl Ec {
    /// Copies the stock method and puts our functions in.
    ///
    /// # Safety
    /// The table is sound.
    pub(super) unsafe fn new(crypto: &Libcrypto) -> Result<Ec, LibcryptoError> {
        let (mut sign, mut setup, mut sign_sig) = (None::<EcSign>, None::<EcSignSetup>, None::<EcSignSig>);
        // SAFETY: the stock method is static; the copy is ours, and never freed.
        unsafe {
            let stock = (crypto.EC_KEY_OpenSSL)();
            (crypto.EC_KEY_METHOD_get_sign)(stock, &mut sign, &mut setup, &mut sign_sig);
            let sign = sign.ok_or(LibcryptoError::Missing(c"sign"))?;
            let sign_sig = sign_sig.ok_or(LibcryptoError::Missing(c"sign_sig"))?;
            let method = (crypto.EC_KEY_METHOD_new)(stock);
            if method.is_null() {
                return Err(LibcryptoError::Missing(c"EC_KEY_METHOD_new"));
            }
            (crypto.EC_KEY_METHOD_set_sign)(method, Some(sign_entry), setup, Some(sign_sig_entry));
            let verdicts = (crypto.CRYPTO_get_ex_new_index)(
                EC_KEY_CLASS,
                0,
                ptr::null_mut(),
                Some(verdict_new),
                Some(verdict_dup),
                Some(verdict_free),
            );
            Ok(Ec { method, sign, sign_sig, verdicts })
        }
    }

    pub(super) fn method(&self) -> *const EcKeyMethod {
        self.method
    }
}

/// Whether a key object's scalar fits its point. A multiplication costs as much as a signature, so it is done once.
///
/// Every object gets its cell when it is made, before other threads can see it; later only the cell's content changes,
/// because OpenSSL's table of such pointers has no lock. It is meant for objects as servers have them, whose numbers
/// stay: an object that had a real key and is given an unmarked false one is treated as stock code treats it.
type Verdict = AtomicU8;

const UNKNOWN: u8 = 0;
const FITS: u8 = 1;
const DIFFERS: u8 = 2;

fn new_cell() -> *mut c_void {
    Box::into_raw(Box::new(Verdict::new(UNKNOWN))).cast()
}

unsafe extern "C" fn verdict_new(
    _key: *mut c_void,
    _content: *mut c_void,
    table: *mut c_void,
    index: c_int,
    _: c_long,
    _: *mut c_void,
) {
    let body = || {
        let Some(bound) = BOUND.get() else { return };
        let cell = new_cell();
        // SAFETY: the table of an object that is being made.
        unsafe {
            if (bound.libcrypto.CRYPTO_set_ex_data)(table, index, cell) != 1 {
                drop(Box::from_raw(cell.cast::<Verdict>()));
            }
        }
    };
    guarded(body, || ());
}

/// The copy keeps a cell of its own, with nothing decided.
unsafe extern "C" fn verdict_dup(
    to: *mut c_void,
    _from: *const c_void,
    content: *mut *mut c_void,
    index: c_int,
    _: c_long,
    _: *mut c_void,
) -> c_int {
    let body = || {
        let (Some(bound), false) = (BOUND.get(), content.is_null()) else { return 0 };
        // SAFETY: the table of the copy; what it holds at our index is null or a cell of ours; OpenSSL puts what we
        // write to `content` there.
        unsafe {
            let own = (bound.libcrypto.CRYPTO_get_ex_data)(to, index);
            match own.cast::<Verdict>().as_ref() {
                Some(cell) => cell.store(UNKNOWN, Ordering::Relaxed),
                None => {
                    *content = new_cell();
                    return 1;
                }
            }
            *content = own;
        }
        1
    };
    guarded(body, || 0)
}

unsafe extern "C" fn verdict_free(
    _key: *mut c_void,
    cell: *mut c_void,
    _table: *mut c_void,
    _index: c_int,
    _: c_long,
    _: *mut c_void,
) {
    let body = || {
        if !cell.is_null() {
            // SAFETY: a cell of ours, whose object goes away with it.
            drop(unsafe { Box::from_raw(cell.cast::<Verdict>()) });
        }
    };
    guarded(body, || ());
}

unsafe extern "C" fn sign_entry(
    kind: c_int,
    digest: *const u8,
    digest_len: c_int,
    signature: *mut u8,
    signature_len: *mut c_uint,
    inverse: *const Bignum,
    r: *const Bignum,
    key: *mut EcKey,
) -> c_int {
    let body = |bound: &Bound| {
        // SAFETY: arguments of an `EC_KEY_METHOD`'s `sign`: a key object, a digest, a buffer of `ECDSA_size` bytes or
        // null to ask for that size, which stock code answers.
        unsafe {
            let marker = match if signature.is_null() { Whose::Software } else { whose(bound, key)? } {
                Whose::Software => {
                    let stock = bound.ec.sign;
                    return Ok(stock(kind, digest, digest_len, signature, signature_len, inverse, r, key));
                }
                Whose::Hsms(marker) => marker,
            };
            let der = signed(bound, key, marker, digest, digest_len)?;
            if signature_len.is_null() {
                return Err(strongroom_ffi::PointerError::Null.into());
            }
            let written = pointer::write(signature, (bound.libcrypto.ECDSA_size)(key), &der)?;
            *signature_len = c_uint::try_from(written).map_err(|_| EngineError::Answer("the signature is too long"))?;
        }
        Ok(1)
    };
    entered(0, body)
}

unsafe extern "C" fn sign_sig_entry(
    digest: *const u8,
    digest_len: c_int,
    inverse: *const Bignum,
    r: *const Bignum,
    key: *mut EcKey,
) -> *mut EcdsaSig {
    let body = |bound: &Bound| {
        // SAFETY: arguments of an `EC_KEY_METHOD`'s `sign_sig`: a key object and a digest.
        unsafe {
            let marker = match whose(bound, key)? {
                Whose::Software => return Ok((bound.ec.sign_sig)(digest, digest_len, inverse, r, key)),
                Whose::Hsms(marker) => marker,
            };
            let der = signed(bound, key, marker, digest, digest_len)?;
            let len = c_long::try_from(der.len()).map_err(|_| EngineError::Answer("the signature is too long"))?;
            let made = (bound.libcrypto.d2i_ECDSA_SIG)(ptr::null_mut(), &mut der.as_ptr(), len);
            if made.is_null() { Err(EngineError::Libcrypto("d2i_ECDSA_SIG")) } else { Ok(made) }
        }
    };
    entered(ptr::null_mut(), body)
}

/// Who signs.
enum Whose {
    Software,
    Hsms(Option<Marker>),
}

/// # Safety
/// `key` is null or an EC key object.
unsafe fn whose(bound: &Bound, key: *const EcKey) -> Result<Whose, EngineError> {
    if key.is_null() {
        return Err(EngineError::KeyIncomplete("key object"));
    }
    let crypto = &bound.libcrypto;
    // SAFETY: a key object; our index holds null or a cell of ours, which lives as long as the object.
    unsafe {
        let scalar = (crypto.EC_KEY_get0_private_key)(key);
        if scalar.is_null() {
            // Stock code says what is missing.
            return Ok(Whose::Software);
        }
        let fits = || {
            let cell = match bound.ec.verdicts {
                0.. => (crypto.EC_KEY_get_ex_data)(key, bound.ec.verdicts).cast::<Verdict>().as_ref(),
                _ => None,
            };
            match cell.map_or(UNKNOWN, |cell| cell.load(Ordering::Relaxed)) {
                FITS => true,
                DIFFERS => false,
                _ => {
                    let fits = scalar_fits(crypto, key, scalar);
                    if let Some(cell) = cell {
                        cell.store(if fits { FITS } else { DIFFERS }, Ordering::Relaxed);
                    }
                    fits
                }
            }
        };
        Ok(match owner(bignum::marker(crypto, scalar), fits) {
            Owner::Software => Whose::Software,
            Owner::Unclear => Whose::Hsms(None),
            Owner::Hsms(marker) => Whose::Hsms(Some(marker)),
        })
    }
}

/// Whether the scalar is that of the point. True where there is nothing to compare: stock code knows what to say.
///
/// # Safety
/// The table is sound, `key` is an EC key object with this scalar.
unsafe fn scalar_fits(crypto: &Libcrypto, key: *const EcKey, scalar: *const Bignum) -> bool {
    // SAFETY: group and point are the key's; point and context are our own.
    unsafe {
        let (group, point) = ((crypto.EC_KEY_get0_group)(key), (crypto.EC_KEY_get0_public_key)(key));
        if group.is_null() || point.is_null() {
            return true;
        }
        let made: *mut EcPoint = (crypto.EC_POINT_new)(group);
        let context = (crypto.BN_CTX_new)();
        // What goes wrong here is no error of the host's.
        (crypto.ERR_set_mark)();
        let same = !made.is_null()
            && !context.is_null()
            && (crypto.EC_POINT_mul)(group, made, scalar, ptr::null(), ptr::null(), context) == 1
            && (crypto.EC_POINT_cmp)(group, made, point, context) == 0;
        (crypto.ERR_pop_to_mark)();
        (crypto.BN_CTX_free)(context);
        (crypto.EC_POINT_free)(made);
        same
    }
}

/// The HSMs' signature, in DER.
///
/// # Safety
/// `key` is an EC key object, `digest` has `len` bytes.
unsafe fn signed(
    bound: &Bound,
    key: *const EcKey,
    marker: Option<Marker>,
    digest: *const u8,
    len: c_int,
) -> Result<Vec<u8>, EngineError> {
    // SAFETY: the caller's.
    let (public, digest) = unsafe { (public_part(&bound.libcrypto, key)?, pointer::bytes(digest, len)?) };
    let engine = for_operation()?;
    sign::ecdsa(&engine.client, &engine.known, &Key { public: &public, marker }, digest)
}

/// # Safety
/// The table is sound, `key` is an EC key object.
unsafe fn public_part(crypto: &Libcrypto, key: *const EcKey) -> Result<PublicPart, EngineError> {
    // SAFETY: group and point are the key's; the buffer has the length that is told.
    unsafe {
        let (group, point) = ((crypto.EC_KEY_get0_group)(key), (crypto.EC_KEY_get0_public_key)(key));
        if group.is_null() || point.is_null() {
            return Err(EngineError::KeyIncomplete("curve or point"));
        }
        let curve = curve((crypto.EC_GROUP_get_curve_name)(group)).ok_or(EngineError::CurveUnsupported)?;
        let mut bytes = vec![0; POINT_LEN_MAX];
        let write = crypto.EC_POINT_point2oct;
        let len = write(group, point, UNCOMPRESSED, bytes.as_mut_ptr(), bytes.len(), ptr::null_mut());
        if len == 0 {
            return Err(EngineError::Libcrypto("EC_POINT_point2oct"));
        }
        bytes.truncate(len);
        Ok(PublicPart::Ec { curve, point: bytes })
    }
}

/// OpenSSL's numbers of curves (`obj_mac.h`).
fn curve(number: c_int) -> Option<Curve> {
    match number {
        713 => Some(Curve::P224),
        415 => Some(Curve::P256),
        715 => Some(Curve::P384),
        716 => Some(Curve::P521),
        714 => Some(Curve::Secp256k1),
        _ => None,
    }
}
