//! The lists of functions, by which programs find them.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_void};
use std::ptr;

use cryptoki_sys::*;
use strongroom_ffi::guarded;

use super::crypto::*;
use super::general::*;
use super::mechanisms::*;
use super::objects::*;
use super::{put, put_list, unsupported};
use crate::failure::Failure;

// Messages of PKCS #11 3.0.
unsupported! {
    C_MessageEncryptInit(CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE);
    C_EncryptMessage(
        CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE,
        *mut CK_ULONG
    );
    C_EncryptMessageBegin(CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG);
    C_EncryptMessageNext(
        CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG, CK_FLAGS
    );
    C_MessageEncryptFinal(CK_SESSION_HANDLE);
    C_MessageDecryptInit(CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE);
    C_DecryptMessage(
        CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE,
        *mut CK_ULONG
    );
    C_DecryptMessageBegin(CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG);
    C_DecryptMessageNext(
        CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG, CK_FLAGS
    );
    C_MessageDecryptFinal(CK_SESSION_HANDLE);
    C_MessageSignInit(CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE);
    C_SignMessage(CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG);
    C_SignMessageBegin(CK_SESSION_HANDLE, *mut c_void, CK_ULONG);
    C_SignMessageNext(CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG);
    C_MessageSignFinal(CK_SESSION_HANDLE);
    C_MessageVerifyInit(CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE);
    C_VerifyMessage(CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, CK_ULONG);
    C_VerifyMessageBegin(CK_SESSION_HANDLE, *mut c_void, CK_ULONG);
    C_VerifyMessageNext(CK_SESSION_HANDLE, *mut c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, CK_ULONG);
    C_MessageVerifyFinal(CK_SESSION_HANDLE);
}

/// A list of these functions, none of which is missing.
macro_rules! list {
    ($list:ident, $major:literal, $minor:literal: $($name:ident)*) => {
        $list { version: CK_VERSION { major: $major, minor: $minor }, $($name: Some($name),)* }
    };
}

static LIST_2_40: CK_FUNCTION_LIST = list! { CK_FUNCTION_LIST, 2, 40:
    C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList
    C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession C_CloseAllSessions
    C_GetSessionInfo C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject
    C_DestroyObject C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects
    C_FindObjectsFinal C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate
    C_DecryptFinal C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit C_Sign C_SignUpdate
    C_SignFinal C_SignRecoverInit C_SignRecover C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal
    C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate
    C_DecryptVerifyUpdate C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom
    C_GenerateRandom C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent
};

static LIST_3_0: CK_FUNCTION_LIST_3_0 = CK_FUNCTION_LIST_3_0 { C_GetInfo: Some(info_3_0), ..FUNCTIONS_3_0 };
const FUNCTIONS_3_0: CK_FUNCTION_LIST_3_0 = list! { CK_FUNCTION_LIST_3_0, 3, 0:
    C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList
    C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession C_CloseAllSessions
    C_GetSessionInfo C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject
    C_DestroyObject C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects
    C_FindObjectsFinal C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate
    C_DecryptFinal C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit C_Sign C_SignUpdate
    C_SignFinal C_SignRecoverInit C_SignRecover C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal
    C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate
    C_DecryptVerifyUpdate C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom
    C_GenerateRandom C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent C_GetInterfaceList C_GetInterface
    C_LoginUser C_SessionCancel C_MessageEncryptInit C_EncryptMessage C_EncryptMessageBegin C_EncryptMessageNext
    C_MessageEncryptFinal C_MessageDecryptInit C_DecryptMessage C_DecryptMessageBegin C_DecryptMessageNext
    C_MessageDecryptFinal C_MessageSignInit C_SignMessage C_SignMessageBegin C_SignMessageNext C_MessageSignFinal
    C_MessageVerifyInit C_VerifyMessage C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal
};

/// The name of the standard's interfaces.
const STANDARD: &CStr = c"PKCS 11";

/// Interfaces that live as long as the process.
///
/// Who asks is given a pointer to them that is not to constants. OpenSC's `pkcs11-spy` writes its own list there, so they lie in
/// memory that can be written; the library itself never reads them.
struct Interfaces(UnsafeCell<[CK_INTERFACE; 2]>);

// SAFETY: the library neither reads nor writes them, and makes no reference to them.
unsafe impl Sync for Interfaces {}

/// The newest first: who asks for no version gets that.
static INTERFACES: Interfaces = Interfaces(UnsafeCell::new(interfaces()));

const fn interfaces() -> [CK_INTERFACE; 2] {
    [interface(ptr::addr_of!(LIST_3_0).cast::<c_void>()), interface(ptr::addr_of!(LIST_2_40).cast::<c_void>())]
}

const fn interface(list: *const c_void) -> CK_INTERFACE {
    CK_INTERFACE { pInterfaceName: STANDARD.as_ptr().cast_mut().cast(), pFunctionList: list.cast_mut(), flags: 0 }
}

/// The frame of what may be called before `C_Initialize`, and in a forked child.
fn always(body: impl FnOnce() -> Result<(), Failure>) -> CK_RV {
    guarded(|| body().map_or_else(|failure| failure.rv(), |()| CKR_OK), || CKR_GENERAL_ERROR)
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    // SAFETY: the caller's.
    always(|| unsafe { put(list, ptr::addr_of!(LIST_2_40).cast_mut()) })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetInterfaceList(list: *mut CK_INTERFACE, count: *mut CK_ULONG) -> CK_RV {
    // SAFETY: the caller's.
    always(|| unsafe { put_list(list, count, &interfaces()) })
}

/// # Safety
/// As the standard's: a name is null or a C string, a version null or a version.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetInterface(
    name: *mut CK_UTF8CHAR,
    version: *mut CK_VERSION,
    interface: *mut *mut CK_INTERFACE,
    flags: CK_FLAGS,
) -> CK_RV {
    always(|| {
        // SAFETY: null or a C string.
        let is_ours = unsafe { strongroom_ffi::pointer::text(name.cast()) }.is_none_or(|name| name == STANDARD);
        let wanted = match version.is_null() {
            true => None,
            // SAFETY: not null; the caller's.
            false => Some(unsafe { super::take(version) }?),
        };
        let is_wanted =
            |has: &CK_VERSION| wanted.is_none_or(|wanted| (wanted.major, wanted.minor) == (has.major, has.minor));
        let found = [LIST_3_0.version, LIST_2_40.version].iter().position(is_wanted).filter(|_| is_ours && flags == 0);
        let found = found.ok_or(Failure::call(CKR_FUNCTION_FAILED, "there is no such interface"))?;
        let first = INTERFACES.0.get().cast::<CK_INTERFACE>();
        // SAFETY: there is one for each version; the caller's.
        unsafe { put(interface, first.add(found)) }
    })
}
