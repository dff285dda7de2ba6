//! The library itself, slots and tokens, sessions, logins.

use std::ffi::c_void;

use cryptoki_sys::*;
use strongroom_ffi::guarded_whole;
use strongroom_types::limits::{PASSWORD_LEN_MIN, PIN_LEN_MAX, SESSIONS_MAX};

use super::{bytes, entered, in_session, put, put_list, take, unsupported};
use crate::failure::Failure;
use crate::library;
use crate::slot::Credentials;

unsupported! {
    C_InitToken(CK_SLOT_ID, *mut CK_UTF8CHAR, CK_ULONG, *mut CK_UTF8CHAR);
    C_InitPIN(CK_SESSION_HANDLE, *mut CK_UTF8CHAR, CK_ULONG);
    C_SetPIN(CK_SESSION_HANDLE, *mut CK_UTF8CHAR, CK_ULONG, *mut CK_UTF8CHAR, CK_ULONG);
    C_GetOperationState(CK_SESSION_HANDLE, *mut CK_BYTE, *mut CK_ULONG);
    C_SetOperationState(CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG, CK_OBJECT_HANDLE, CK_OBJECT_HANDLE);
}

/// Who made library, slots and tokens, as the original has it.
const MANUFACTURER: &str = "CloudHSM";

fn version((major, minor): (u8, u8)) -> CK_VERSION {
    CK_VERSION { major, minor }
}

/// The version of the library, which is the project's.
pub(super) fn library_version() -> CK_VERSION {
    let part = |text: &str| text.parse().unwrap_or_default();
    CK_VERSION { major: part(env!("CARGO_PKG_VERSION_MAJOR")), minor: part(env!("CARGO_PKG_VERSION_MINOR")) }
}

/// A text in a field of fixed length, filled with spaces.
fn padded<const N: usize>(text: &str) -> [CK_UTF8CHAR; N] {
    let mut field = [b' '; N];
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    field
}

/// What the caller says of locks and threads (PKCS #11 v2.40 §5.4).
///
/// # Safety
/// `arguments` is null or points to `CK_C_INITIALIZE_ARGS`.
unsafe fn check_arguments(arguments: *mut c_void) -> Result<(), Failure> {
    if arguments.is_null() {
        return Ok(());
    }
    // SAFETY: not null; the caller's.
    let arguments: CK_C_INITIALIZE_ARGS = unsafe { take(arguments.cast()) }?;
    if !arguments.pReserved.is_null() {
        return Err(Failure::call(CKR_ARGUMENTS_BAD, "pReserved must be null"));
    }
    let given = [
        arguments.CreateMutex.is_some(),
        arguments.DestroyMutex.is_some(),
        arguments.LockMutex.is_some(),
        arguments.UnlockMutex.is_some(),
    ];
    match (given.iter().all(|given| *given), given.iter().any(|given| *given)) {
        (false, true) => Err(Failure::call(CKR_ARGUMENTS_BAD, "all four mutex functions must be given, or none")),
        (true, _) if arguments.flags & CKF_OS_LOCKING_OK == 0 => {
            Err(Failure::call(CKR_CANT_LOCK, "the library uses locks of the operating system; set CKF_OS_LOCKING_OK"))
        }
        _ => Ok(()),
    }
}

/// Reads the configuration. Says nothing to any HSM.
///
/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_Initialize(arguments: *mut c_void) -> CK_RV {
    let body = || {
        // SAFETY: the caller's.
        unsafe { check_arguments(arguments) }?;
        library::initialize()
    };
    guarded_whole(|| body().map_or_else(|failure| failure.rv(), |()| CKR_OK), || CKR_GENERAL_ERROR)
}

/// Ends logins and sessions.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn C_Finalize(reserved: *mut c_void) -> CK_RV {
    entered("C_Finalize", |_| match reserved.is_null() {
        true => library::finalize(),
        false => Err(Failure::call(CKR_ARGUMENTS_BAD, "pReserved must be null")),
    })
}

/// What `C_GetInfo` says of a version of the standard.
///
/// # Safety
/// `info` is null or points to room for it.
unsafe fn tell_info(info: *mut CK_INFO, (major, minor): (CK_BYTE, CK_BYTE)) -> CK_RV {
    entered("C_GetInfo", |_| {
        let told = CK_INFO {
            cryptokiVersion: CK_VERSION { major, minor },
            manufacturerID: padded(MANUFACTURER),
            flags: 0,
            libraryDescription: padded("CloudHSM PKCS#11"),
            libraryVersion: library_version(),
        };
        // SAFETY: the caller's.
        unsafe { put(info, told) }
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetInfo(info: *mut CK_INFO) -> CK_RV {
    // SAFETY: the caller's.
    unsafe { tell_info(info, (2, 40)) }
}

/// `C_GetInfo` of the interface of 3.0.
///
/// # Safety
/// As the standard's.
pub(super) unsafe extern "C" fn info_3_0(info: *mut CK_INFO) -> CK_RV {
    // SAFETY: the caller's.
    unsafe { tell_info(info, (3, 0)) }
}

/// Tokens stay where they are, so there is nothing to wait for.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn C_WaitForSlotEvent(flags: CK_FLAGS, _: *mut CK_SLOT_ID, reserved: *mut c_void) -> CK_RV {
    entered("C_WaitForSlotEvent", |_| match (reserved.is_null(), flags & CKF_DONT_BLOCK != 0) {
        (false, _) => Err(Failure::call(CKR_ARGUMENTS_BAD, "pReserved must be null")),
        (true, true) => Err(Failure::call(CKR_NO_EVENT, "no token comes or goes")),
        (true, false) => Err(Failure::call(CKR_FUNCTION_NOT_SUPPORTED, "no token comes or goes; set CKF_DONT_BLOCK")),
    })
}

/// Every slot has its token, whatever is asked for.
///
/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetSlotList(_: CK_BBOOL, list: *mut CK_SLOT_ID, count: *mut CK_ULONG) -> CK_RV {
    entered("C_GetSlotList", |library| {
        let ids: Vec<_> = library.slots.iter().map(|slot| slot.id).collect();
        // SAFETY: the caller's.
        unsafe { put_list(list, count, &ids) }
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) -> CK_RV {
    entered("C_GetSlotInfo", |library| {
        let slot = library.slot(slot)?;
        let told = CK_SLOT_INFO {
            slotDescription: padded(&slot.description()),
            manufacturerID: padded(MANUFACTURER),
            flags: CKF_TOKEN_PRESENT | CKF_HW_SLOT,
            hardwareVersion: CK_VERSION::default(),
            firmwareVersion: CK_VERSION::default(),
        };
        // SAFETY: the caller's.
        unsafe { put(info, told) }
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    entered("C_GetTokenInfo", |library| {
        let slot = library.slot(slot)?;
        let facts = slot.facts()?;
        let sessions = library.sessions.of(slot);
        let told = CK_TOKEN_INFO {
            label: padded(&slot.label),
            manufacturerID: padded(MANUFACTURER),
            model: padded(facts.hsm_type.as_str()),
            serialNumber: padded(facts.serial()),
            flags: CKF_RNG | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED,
            ulMaxSessionCount: SESSIONS_MAX as CK_ULONG,
            ulSessionCount: sessions.len() as CK_ULONG,
            ulMaxRwSessionCount: SESSIONS_MAX as CK_ULONG,
            ulRwSessionCount: sessions.iter().filter(|session| session.is_rw).count() as CK_ULONG,
            ulMaxPinLen: PIN_LEN_MAX as CK_ULONG,
            ulMinPinLen: (PASSWORD_LEN_MIN + 2) as CK_ULONG,
            ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
            ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
            ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
            hardwareVersion: version(facts.hardware),
            firmwareVersion: version(facts.firmware),
            utcTime: padded(""),
        };
        // SAFETY: the caller's.
        unsafe { put(info, told) }
    })
}

/// The notification callback is accepted; nothing ever happens that it would be told.
///
/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    _: *mut c_void,
    _: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    entered("C_OpenSession", |library| {
        if session.is_null() {
            return Err(Failure::call(CKR_ARGUMENTS_BAD, "phSession is null"));
        }
        let handle = library.sessions.open(library.slot(slot)?, flags)?;
        // SAFETY: not null; the caller's.
        unsafe { put(session, handle) }
    })
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    entered("C_CloseSession", |library| library.sessions.close(session))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    entered("C_CloseAllSessions", |library| {
        library.sessions.close_all(library.slot(slot)?);
        Ok(())
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetSessionInfo(session: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO) -> CK_RV {
    in_session("C_GetSessionInfo", session, |session| {
        let told = CK_SESSION_INFO {
            slotID: session.slot.id,
            state: session.state(),
            flags: session.flags(),
            ulDeviceError: 0,
        };
        // SAFETY: the caller's.
        unsafe { put(info, told) }
    })
}

/// Only crypto users log in.
fn check_user_type(user_type: CK_USER_TYPE) -> Result<(), Failure> {
    match user_type {
        CKU_USER => Ok(()),
        CKU_CONTEXT_SPECIFIC => {
            Err(Failure::call(CKR_OPERATION_NOT_INITIALIZED, "no key of the HSMs asks for a login at each use"))
        }
        _ => Err(Failure::call(CKR_USER_TYPE_INVALID, "crypto users log in, as CKU_USER")),
    }
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user_type: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    pin_len: CK_ULONG,
) -> CK_RV {
    entered("C_Login", |library| {
        let session = library.sessions.get(session)?;
        check_user_type(user_type)?;
        if pin.is_null() {
            return Err(Failure::call(CKR_ARGUMENTS_BAD, "there is no other way to a PIN than pPin"));
        }
        // SAFETY: the caller's.
        let pin = unsafe { bytes(pin, pin_len) }?;
        library.sessions.login(&session, &Credentials::of_pin(pin)?)
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_LoginUser(
    session: CK_SESSION_HANDLE,
    user_type: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    pin_len: CK_ULONG,
    user: *mut CK_UTF8CHAR,
    user_len: CK_ULONG,
) -> CK_RV {
    entered("C_LoginUser", |library| {
        let session = library.sessions.get(session)?;
        check_user_type(user_type)?;
        if pin.is_null() || user.is_null() {
            return Err(Failure::call(CKR_ARGUMENTS_BAD, "pPin and pUsername must be given"));
        }
        // SAFETY: the caller's.
        let (pin, user) = unsafe { (bytes(pin, pin_len)?, bytes(user, user_len)?) };
        library.sessions.login(&session, &Credentials::of_parts(user, pin)?)
    })
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn C_Logout(session: CK_SESSION_HANDLE) -> CK_RV {
    entered("C_Logout", |library| {
        let session = library.sessions.get(session)?;
        library.sessions.logout(&session.slot)
    })
}

/// A function of the first versions, from before there were threads (PKCS #11 v2.40 §5.18).
fn not_parallel(function: &'static str, session: CK_SESSION_HANDLE) -> CK_RV {
    in_session(function, session, |_| {
        Err(Failure::call(CKR_FUNCTION_NOT_PARALLEL, "no function runs in parallel to its caller"))
    })
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn C_GetFunctionStatus(session: CK_SESSION_HANDLE) -> CK_RV {
    not_parallel("C_GetFunctionStatus", session)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn C_CancelFunction(session: CK_SESSION_HANDLE) -> CK_RV {
    not_parallel("C_CancelFunction", session)
}

/// Ends what the flags name: searches, and operations of each kind (PKCS #11 v3.0 §5.6.8).
#[unsafe(no_mangle)]
pub(crate) extern "C" fn C_SessionCancel(session: CK_SESSION_HANDLE, flags: CK_FLAGS) -> CK_RV {
    in_session("C_SessionCancel", session, |session| {
        session.cancel_some(flags);
        Ok(())
    })
}
