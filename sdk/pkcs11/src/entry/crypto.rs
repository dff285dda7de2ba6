//! Encrypting, decrypting, signing, verifying, digests, random bytes.

use cryptoki_sys::*;
use strongroom_ffi::{PointerError, pointer};

use super::mechanisms::mechanism_at;
use super::{Output, Room, in_session, put_output, unsupported};
use crate::failure::Failure;
use crate::mechanism::Mechanism;
use crate::operations::FromCaller;
use crate::session::Session;

unsupported! {
    C_DigestKey(CK_SESSION_HANDLE, CK_OBJECT_HANDLE);
    C_SignRecoverInit(CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE);
    C_SignRecover(CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG);
    C_VerifyRecoverInit(CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE);
    C_VerifyRecover(CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG);
    C_DigestEncryptUpdate(CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG);
    C_DecryptDigestUpdate(CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG);
    C_SignEncryptUpdate(CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG);
    C_DecryptVerifyUpdate(CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG);
}

/// Functions that begin something: with a mechanism and a key, or a mechanism alone. A null mechanism cancels what was begun
/// (PKCS #11 v3.0 §5.1.2).
macro_rules! begins {
    ($($name:ident($flag:ident $(, $key:ident)?) = $begin:expr;)*) => {
        $(
            /// # Safety
            /// As the standard's.
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C" fn $name(
                session: CK_SESSION_HANDLE,
                mechanism: *mut CK_MECHANISM,
                $($key: CK_OBJECT_HANDLE,)?
            ) -> CK_RV {
                in_session(stringify!($name), session, |session| {
                    if mechanism.is_null() {
                        return session.cancel_begun($flag);
                    }
                    // SAFETY: the caller's.
                    let mechanism = unsafe { mechanism_at(mechanism) }?;
                    ($begin as fn(&Session, Mechanism $(, begins!(@handle $key))?) -> Result<(), Failure>)(
                        session, mechanism $(, $key)?
                    )
                })
            }
        )*
    };
    (@handle $key:ident) => { CK_OBJECT_HANDLE };
}

/// Functions that take data and give an output.
macro_rules! gives {
    ($($name:ident = $give:expr;)*) => {
        $(
            /// # Safety
            /// As the standard's.
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C" fn $name(
                session: CK_SESSION_HANDLE,
                data: *mut CK_BYTE,
                data_len: CK_ULONG,
                output: *mut CK_BYTE,
                output_len: *mut CK_ULONG,
            ) -> CK_RV {
                in_session(stringify!($name), session, |session| {
                    // SAFETY: the caller's.
                    unsafe {
                        give(output, output_len, |room| $give(session, pointer::bytes(data, data_len), room))
                    }
                })
            }
        )*
    };
}

/// Functions that give what is left.
macro_rules! finishes {
    ($($name:ident = $finish:expr;)*) => {
        $(
            /// # Safety
            /// As the standard's.
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C" fn $name(
                session: CK_SESSION_HANDLE,
                output: *mut CK_BYTE,
                output_len: *mut CK_ULONG,
            ) -> CK_RV {
                in_session(stringify!($name), session, |session| {
                    // SAFETY: the caller's.
                    unsafe { give(output, output_len, |room| $finish(session, room)) }
                })
            }
        )*
    };
}

/// Functions that take data and give nothing.
macro_rules! takes {
    ($($name:ident = $take:expr;)*) => {
        $(
            /// # Safety
            /// As the standard's.
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C" fn $name(
                session: CK_SESSION_HANDLE,
                data: *mut CK_BYTE,
                data_len: CK_ULONG,
            ) -> CK_RV {
                in_session(stringify!($name), session, |session| {
                    // SAFETY: the caller's.
                    $take(session, unsafe { pointer::bytes(data, data_len) })
                })
            }
        )*
    };
}

begins! {
    C_DigestInit(CKF_DIGEST) = |session, mechanism| session.digest_init(&mechanism);
    C_SignInit(CKF_SIGN, key) = |session, mechanism, key| session.sign_init(&mechanism, key);
    C_VerifyInit(CKF_VERIFY, key) = |session, mechanism, key| session.verify_init(&mechanism, key);
    C_EncryptInit(CKF_ENCRYPT, key) = Session::encrypt_init;
    C_DecryptInit(CKF_DECRYPT, key) = Session::decrypt_init;
}

gives! {
    C_Digest = Session::digest;
    C_Sign = Session::sign;
    C_Encrypt = Session::encrypt;
    C_EncryptUpdate = Session::encrypt_update;
    C_Decrypt = Session::decrypt;
    C_DecryptUpdate = Session::decrypt_update;
}

finishes! {
    C_DigestFinal = Session::digest_final;
    C_SignFinal = Session::sign_final;
    C_EncryptFinal = Session::encrypt_final;
    C_DecryptFinal = Session::decrypt_final;
}

takes! {
    C_DigestUpdate = Session::digest_update;
    C_SignUpdate = Session::sign_update;
    C_VerifyUpdate = Session::verify_update;
    C_VerifyFinal = Session::verify_final;
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_Verify(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_len: CK_ULONG,
) -> CK_RV {
    in_session("C_Verify", session, |session| {
        // SAFETY: the caller's.
        let (data, signature) = unsafe { (pointer::bytes(data, data_len), pointer::bytes(signature, signature_len)) };
        session.verify(data, signature)
    })
}

/// An HSM's generator takes nothing from outside.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn C_SeedRandom(session: CK_SESSION_HANDLE, _: *mut CK_BYTE, _: CK_ULONG) -> CK_RV {
    in_session("C_SeedRandom", session, |_| {
        Err(Failure::call(CKR_RANDOM_SEED_NOT_SUPPORTED, "the HSM's random generator takes no seed"))
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GenerateRandom(
    session: CK_SESSION_HANDLE,
    output: *mut CK_BYTE,
    len: CK_ULONG,
) -> CK_RV {
    in_session("C_GenerateRandom", session, |session| {
        let len = usize::try_from(len).map_err(|_| PointerError::Length)?;
        if output.is_null() && len > 0 {
            return Err(PointerError::Null.into());
        }
        let mut written = 0;
        session.random(len, |bytes| {
            // SAFETY: the caller's buffer of `len` bytes, of which `written` are written.
            written += unsafe { pointer::write(output.add(written), len - written, bytes) }?;
            Ok(())
        })
    })
}

/// Gives an output. That the caller's length is missing is for the operation to know, which it ends.
///
/// # Safety
/// As [`put_output`].
unsafe fn give(
    output: *mut CK_BYTE,
    len: *mut CK_ULONG,
    make: impl FnOnce(FromCaller<Room>) -> Result<Output, Failure>,
) -> Result<(), Failure> {
    if len.is_null() {
        return make(Err(PointerError::Null)).and(Err(PointerError::Null.into()));
    }
    // SAFETY: the caller's.
    unsafe { put_output(output, len, |room| make(Ok(room))) }
}
