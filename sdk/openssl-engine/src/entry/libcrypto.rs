//! The functions of the libcrypto that loaded us, found at run time.
//!
//! We are linked to no libcrypto. `bind_engine` is given the address of a variable inside the one that loads us: the
//! library that holds that address is the right one, also where a process has two, or loaded its own without showing
//! its names to others. All types of OpenSSL stay opaque, so one build serves every version that has these names.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use thiserror::Error;

/// Types of OpenSSL, never looked into.
macro_rules! opaque {
    ($($name:ident)*) => { $(
        #[doc = concat!("OpenSSL's `", stringify!($name), "`.")]
        #[repr(C)]
        pub(crate) struct $name {
            _opaque: [u8; 0],
        }
    )* };
}

opaque!(BnCtx BnGencb Bignum EcGroup EcKey EcKeyMethod EcPoint EcdsaSig Engine Rsa RsaMethod);

/// `ENGINE_GEN_INT_FUNC_PTR`.
pub(crate) type EngineFunction = unsafe extern "C" fn(*mut Engine) -> c_int;
/// A private or public operation of RSA: length, input, output, key, padding; bytes written or −1.
pub(crate) type RsaOperation = unsafe extern "C" fn(c_int, *const u8, *mut u8, *mut Rsa, c_int) -> c_int;
/// `rsa_keygen`.
pub(crate) type RsaKeygen = unsafe extern "C" fn(*mut Rsa, c_int, *mut Bignum, *mut BnGencb) -> c_int;
/// `sign` of an `EC_KEY_METHOD`.
pub(crate) type EcSign = unsafe extern "C" fn(
    c_int,
    *const u8,
    c_int,
    *mut u8,
    *mut c_uint,
    *const Bignum,
    *const Bignum,
    *mut EcKey,
) -> c_int;
/// `sign_setup` of an `EC_KEY_METHOD`, passed on as it is.
pub(crate) type EcSignSetup = unsafe extern "C" fn(*mut EcKey, *mut BnCtx, *mut *mut Bignum, *mut *mut Bignum) -> c_int;
/// `sign_sig` of an `EC_KEY_METHOD`.
pub(crate) type EcSignSig =
    unsafe extern "C" fn(*const u8, c_int, *const Bignum, *const Bignum, *mut EcKey) -> *mut EcdsaSig;
/// `CRYPTO_EX_new` and `CRYPTO_EX_free`.
pub(crate) type ExDataFunction =
    unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void, c_int, c_long, *mut c_void);
/// `CRYPTO_EX_new` returns nothing since OpenSSL 1.1; `CRYPTO_EX_dup` gets a pointer to the pointer that is copied.
pub(crate) type ExDataDup =
    unsafe extern "C" fn(*mut c_void, *const c_void, *mut *mut c_void, c_int, c_long, *mut c_void) -> c_int;

/// `ERR_STRING_DATA`.
#[repr(C)]
pub(crate) struct ErrorString {
    /// The reason; OpenSSL adds the library's number in place.
    pub(crate) error: c_ulong,
    /// Its text.
    pub(crate) text: *const c_char,
}

/// Why the loading libcrypto can't be used.
#[derive(Debug, Error)]
pub(crate) enum LibcryptoError {
    /// `dladdr` knows no library there.
    #[error("the libcrypto that loads the engine cannot be found")]
    NotFound,
    /// The library lacks a name.
    #[error("libcrypto has no {0:?}")]
    Missing(&'static CStr),
}

macro_rules! symbols {
    (
        required { $($name:ident: $required:ty,)* }
        optional { $($maybe:ident: $optional:ty,)* }
    ) => {
        /// One pointer a function. Names and arguments are OpenSSL's.
        #[allow(non_snake_case, reason = "the names are OpenSSL's")]
        pub(crate) struct Libcrypto {
            $(pub(crate) $name: $required,)*
            $(pub(crate) $maybe: Option<$optional>,)*
        }

        impl Libcrypto {
            /// Fills the table.
            ///
            /// # Safety
            /// `handle` is one of `dlopen`, of a libcrypto of version 1.1.1 or 3.
            unsafe fn load(handle: *mut c_void) -> Result<Libcrypto, LibcryptoError> {
                Ok(Libcrypto {
                    $($name: {
                        const NAME: &CStr = symbols!(@name $name);
                        // SAFETY: the handle is valid; in these versions that name is a function of this type.
                        unsafe { symbol::<$required>(handle, NAME) }.ok_or(LibcryptoError::Missing(NAME))?
                    },)*
                    // SAFETY: as above.
                    $($maybe: unsafe { symbol::<$optional>(handle, symbols!(@name $maybe)) },)*
                })
            }
        }
    };
    (@name $name:ident) => {
        match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
            Ok(name) => name,
            Err(_) => panic!("an identifier has no NUL"),
        }
    };
}

symbols! {
    required {
        BN_CTX_free: unsafe extern "C" fn(*mut BnCtx),
        BN_CTX_new: unsafe extern "C" fn() -> *mut BnCtx,
        BN_bin2bn: unsafe extern "C" fn(*const u8, c_int, *mut Bignum) -> *mut Bignum,
        BN_bn2bin: unsafe extern "C" fn(*const Bignum, *mut u8) -> c_int,
        BN_clear_free: unsafe extern "C" fn(*mut Bignum),
        BN_cmp: unsafe extern "C" fn(*const Bignum, *const Bignum) -> c_int,
        BN_dup: unsafe extern "C" fn(*const Bignum) -> *mut Bignum,
        BN_mul: unsafe extern "C" fn(*mut Bignum, *const Bignum, *const Bignum, *mut BnCtx) -> c_int,
        BN_new: unsafe extern "C" fn() -> *mut Bignum,
        BN_num_bits: unsafe extern "C" fn(*const Bignum) -> c_int,
        CRYPTO_get_ex_data: unsafe extern "C" fn(*const c_void, c_int) -> *mut c_void,
        CRYPTO_get_ex_new_index: unsafe extern "C" fn(
            c_int, c_long, *mut c_void, Option<ExDataFunction>, Option<ExDataDup>, Option<ExDataFunction>,
        ) -> c_int,
        CRYPTO_set_ex_data: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void) -> c_int,
        ECDSA_size: unsafe extern "C" fn(*const EcKey) -> c_int,
        EC_GROUP_get_curve_name: unsafe extern "C" fn(*const EcGroup) -> c_int,
        EC_KEY_METHOD_get_sign: unsafe extern "C" fn(
            *const EcKeyMethod, *mut Option<EcSign>, *mut Option<EcSignSetup>, *mut Option<EcSignSig>,
        ),
        EC_KEY_METHOD_new: unsafe extern "C" fn(*const EcKeyMethod) -> *mut EcKeyMethod,
        EC_KEY_METHOD_set_sign: unsafe extern "C" fn(
            *mut EcKeyMethod, Option<EcSign>, Option<EcSignSetup>, Option<EcSignSig>,
        ),
        EC_KEY_OpenSSL: unsafe extern "C" fn() -> *const EcKeyMethod,
        EC_KEY_get0_group: unsafe extern "C" fn(*const EcKey) -> *const EcGroup,
        EC_KEY_get0_private_key: unsafe extern "C" fn(*const EcKey) -> *const Bignum,
        EC_KEY_get0_public_key: unsafe extern "C" fn(*const EcKey) -> *const EcPoint,
        EC_KEY_get_ex_data: unsafe extern "C" fn(*const EcKey, c_int) -> *mut c_void,
        EC_POINT_cmp: unsafe extern "C" fn(*const EcGroup, *const EcPoint, *const EcPoint, *mut BnCtx) -> c_int,
        EC_POINT_free: unsafe extern "C" fn(*mut EcPoint),
        EC_POINT_mul: unsafe extern "C" fn(
            *const EcGroup, *mut EcPoint, *const Bignum, *const EcPoint, *const Bignum, *mut BnCtx,
        ) -> c_int,
        EC_POINT_new: unsafe extern "C" fn(*const EcGroup) -> *mut EcPoint,
        EC_POINT_point2oct: unsafe extern "C" fn(
            *const EcGroup, *const EcPoint, c_int, *mut u8, usize, *mut BnCtx,
        ) -> usize,
        ENGINE_set_EC: unsafe extern "C" fn(*mut Engine, *const EcKeyMethod) -> c_int,
        ENGINE_set_RSA: unsafe extern "C" fn(*mut Engine, *const RsaMethod) -> c_int,
        ENGINE_set_id: unsafe extern "C" fn(*mut Engine, *const c_char) -> c_int,
        ENGINE_set_init_function: unsafe extern "C" fn(*mut Engine, EngineFunction) -> c_int,
        ENGINE_set_name: unsafe extern "C" fn(*mut Engine, *const c_char) -> c_int,
        ERR_add_error_data: unsafe extern "C" fn(c_int, ...),
        ERR_get_next_error_library: unsafe extern "C" fn() -> c_int,
        ERR_load_strings: unsafe extern "C" fn(c_int, *mut ErrorString) -> c_int,
        ERR_pop_to_mark: unsafe extern "C" fn() -> c_int,
        ERR_set_mark: unsafe extern "C" fn() -> c_int,
        RSA_PKCS1_OpenSSL: unsafe extern "C" fn() -> *const RsaMethod,
        RSA_free: unsafe extern "C" fn(*mut Rsa),
        RSA_generate_key_ex: unsafe extern "C" fn(*mut Rsa, c_int, *mut Bignum, *mut BnGencb) -> c_int,
        RSA_get0_crt_params: unsafe extern "C" fn(
            *const Rsa, *mut *const Bignum, *mut *const Bignum, *mut *const Bignum,
        ),
        RSA_get0_factors: unsafe extern "C" fn(*const Rsa, *mut *const Bignum, *mut *const Bignum),
        RSA_get0_key: unsafe extern "C" fn(*const Rsa, *mut *const Bignum, *mut *const Bignum, *mut *const Bignum),
        RSA_meth_dup: unsafe extern "C" fn(*const RsaMethod) -> *mut RsaMethod,
        RSA_meth_get_priv_dec: unsafe extern "C" fn(*const RsaMethod) -> Option<RsaOperation>,
        RSA_meth_get_priv_enc: unsafe extern "C" fn(*const RsaMethod) -> Option<RsaOperation>,
        RSA_meth_get_pub_dec: unsafe extern "C" fn(*const RsaMethod) -> Option<RsaOperation>,
        RSA_meth_set1_name: unsafe extern "C" fn(*mut RsaMethod, *const c_char) -> c_int,
        RSA_meth_set_keygen: unsafe extern "C" fn(*mut RsaMethod, Option<RsaKeygen>) -> c_int,
        RSA_meth_set_priv_dec: unsafe extern "C" fn(*mut RsaMethod, Option<RsaOperation>) -> c_int,
        RSA_meth_set_priv_enc: unsafe extern "C" fn(*mut RsaMethod, Option<RsaOperation>) -> c_int,
        RSA_new: unsafe extern "C" fn() -> *mut Rsa,
        RSA_set0_crt_params: unsafe extern "C" fn(*mut Rsa, *mut Bignum, *mut Bignum, *mut Bignum) -> c_int,
        RSA_set0_factors: unsafe extern "C" fn(*mut Rsa, *mut Bignum, *mut Bignum) -> c_int,
        RSA_set0_key: unsafe extern "C" fn(*mut Rsa, *mut Bignum, *mut Bignum, *mut Bignum) -> c_int,
        RSA_set_method: unsafe extern "C" fn(*mut Rsa, *const RsaMethod) -> c_int,
        RSA_size: unsafe extern "C" fn(*const Rsa) -> c_int,
        d2i_ECDSA_SIG: unsafe extern "C" fn(*mut *mut EcdsaSig, *mut *const u8, c_long) -> *mut EcdsaSig,
    }
    optional {
        // OpenSSL 3.
        ERR_new: unsafe extern "C" fn(),
        ERR_set_debug: unsafe extern "C" fn(*const c_char, c_int, *const c_char),
        ERR_set_error: unsafe extern "C" fn(c_int, c_int, *const c_char, ...),
        // OpenSSL 1.1.1.
        ERR_put_error: unsafe extern "C" fn(c_int, c_int, c_int, *const c_char, c_int),
    }
}

/// The function of this name, or none.
///
/// # Safety
/// `handle` is one of `dlopen`; `F` is a function pointer type, that of the function of this name.
unsafe fn symbol<F: Copy>(handle: *mut c_void, name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the caller answers for the handle; the name ends with a NUL.
    let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
    // SAFETY: not null, of the size of a function pointer (above), and of that type, as the caller answers for.
    (!address.is_null()).then(|| unsafe { std::mem::transmute_copy::<*mut c_void, F>(&address) })
}

impl Libcrypto {
    /// The table of the library that holds this address.
    ///
    /// # Safety
    /// `inside` is an address inside a loaded libcrypto of version 1.1.1 or 3, or inside a program that is statically
    /// linked to one and shows its names.
    pub(crate) unsafe fn around(inside: *const c_void) -> Result<Libcrypto, LibcryptoError> {
        let mut found = MaybeUninit::<libc::Dl_info>::zeroed();
        // SAFETY: `dladdr` compares the address and fills the structure.
        let known = unsafe { libc::dladdr(inside, found.as_mut_ptr()) } != 0;
        // SAFETY: all zeros, or filled; both are valid.
        let found = unsafe { found.assume_init() };
        if !known || found.dli_fname.is_null() {
            return Err(LibcryptoError::NotFound);
        }
        // The handle is never closed: we stay loaded for as long as the process lives, and so must what we call.
        // SAFETY: `dladdr` gave a C string; NOLOAD loads nothing.
        let mut handle = unsafe { libc::dlopen(found.dli_fname, libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        if handle.is_null() {
            // The address lies in the program itself, whose name `dlopen` does not take.
            // SAFETY: null names the program.
            handle = unsafe { libc::dlopen(ptr::null(), libc::RTLD_LAZY) };
        }
        if handle.is_null() {
            return Err(LibcryptoError::NotFound);
        }
        // SAFETY: the handle was opened above; the caller answers for the library.
        unsafe { Libcrypto::load(handle) }
    }
}
