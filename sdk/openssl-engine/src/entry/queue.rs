//! OpenSSL's error queue.

use std::ffi::{CStr, CString, c_int, c_ulong};
use std::ptr;

use super::libcrypto::{ErrorString, Libcrypto};
use crate::error::{EngineError, LIBRARY_NAME, reasons};

/// Where errors come from, as OpenSSL prints it in place of a source file.
const FILE: &CStr = c"cloudhsm";

/// Bits of a code that hold a reason, in the version that has the fewest.
const REASON_BITS: c_ulong = 0xfff;

/// Our place in the error queue.
pub(super) struct Queue {
    library: c_int,
}

impl Queue {
    /// Takes a library number and makes the texts of its reasons known.
    ///
    /// # Safety
    /// The table is sound.
    pub(super) unsafe fn new(crypto: &Libcrypto) -> Queue {
        let entry = |code: i32, text: &str| {
            let text = CString::new(text).unwrap_or_default().into_raw();
            ErrorString { error: c_ulong::from(code.unsigned_abs()), text }
        };
        let table = |entries: Vec<ErrorString>| {
            let end = ErrorString { error: 0, text: ptr::null() };
            // OpenSSL keeps pointers to the texts, and writes the library's number into the entries.
            Box::leak(entries.into_iter().chain([end]).collect::<Box<[_]>>()).as_mut_ptr()
        };
        let all = table(reasons().map(|reason| entry(reason.code, reason.text)).collect());
        // SAFETY: tables are leaked, end with an entry of zeros, and their texts are C strings that are leaked too. Ours
        // has a reason at its start.
        let library = unsafe {
            let library = (crypto.ERR_get_next_error_library)();
            (crypto.ERR_load_strings)(library, all);
            // Where the library's number stands in a code differs between versions: it is what the call added. The
            // code of the library alone, without a reason, names it.
            let code = (*all).error & !REASON_BITS;
            let name = table(vec![ErrorString { error: code, ..entry(0, LIBRARY_NAME) }]);
            (crypto.ERR_load_strings)(0, name);
            library
        };
        Queue { library }
    }

    /// Puts an error on the calling thread's queue.
    ///
    /// # Safety
    /// The table is sound.
    pub(super) unsafe fn raise(&self, crypto: &Libcrypto, error: &EngineError) {
        let (code, detail) = (error.reason().code, error.detail());
        let detail = CString::new(detail.replace('\0', " ")).unwrap_or_default();
        // SAFETY: literals and a C string that outlives the calls, which copy it; the format takes one string.
        unsafe {
            if let (Some(new), Some(set_debug), Some(set_error)) =
                (crypto.ERR_new, crypto.ERR_set_debug, crypto.ERR_set_error)
            {
                new();
                set_debug(FILE.as_ptr(), 0, c"".as_ptr());
                match detail.is_empty() {
                    true => set_error(self.library, code, ptr::null()),
                    false => set_error(self.library, code, c"%s".as_ptr(), detail.as_ptr()),
                }
            } else if let Some(put) = crypto.ERR_put_error {
                put(self.library, 0, code, FILE.as_ptr(), 0);
                if !detail.is_empty() {
                    (crypto.ERR_add_error_data)(1, detail.as_ptr());
                }
            }
        }
    }
}
