//! Pointers and lengths from C.

use std::ffi::{CStr, c_char};
use std::fmt;

/// A pointer or length that can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointerError {
    /// Null where bytes must be.
    Null,
    /// Negative, or more than an object in memory can have.
    Length,
    /// The caller's buffer is shorter than what must be written.
    BufferTooSmall {
        /// Bytes that must be written.
        needed: usize,
        /// Bytes the buffer has.
        capacity: usize,
    },
}

impl fmt::Display for PointerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PointerError::Null => f.write_str("a pointer is null"),
            PointerError::Length => f.write_str("a length is negative or too large"),
            PointerError::BufferTooSmall { needed, capacity } => {
                write!(f, "the buffer has {capacity} bytes where {needed} are needed")
            }
        }
    }
}

impl std::error::Error for PointerError {}

/// A length as C gives it: any integer type, never negative, at most what a slice may have.
fn checked_len(len: impl TryInto<usize>) -> Result<usize, PointerError> {
    let len = len.try_into().map_err(|_| PointerError::Length)?;
    if isize::try_from(len).is_ok() { Ok(len) } else { Err(PointerError::Length) }
}

/// The bytes a caller passes. With length zero the pointer may be anything.
///
/// # Safety
/// A non-null `start` points to `len` bytes that are initialised and that nobody writes during `'a`.
pub unsafe fn bytes<'a>(start: *const u8, len: impl TryInto<usize>) -> Result<&'a [u8], PointerError> {
    match checked_len(len)? {
        0 => Ok(&[]),
        _ if start.is_null() => Err(PointerError::Null),
        // SAFETY: not null, not too long; the caller answers for the rest.
        len => Ok(unsafe { std::slice::from_raw_parts(start, len) }),
    }
}

/// Writes into a caller's buffer, all or nothing; the number of bytes written.
///
/// # Safety
/// A non-null `start` points to `capacity` bytes that may be written and that overlap nothing of `from`.
pub unsafe fn write(start: *mut u8, capacity: impl TryInto<usize>, from: &[u8]) -> Result<usize, PointerError> {
    let capacity = checked_len(capacity)?;
    if from.len() > capacity {
        return Err(PointerError::BufferTooSmall { needed: from.len(), capacity });
    }
    if from.is_empty() {
        return Ok(0);
    }
    if start.is_null() {
        return Err(PointerError::Null);
    }
    // SAFETY: not null and long enough; the caller answers for the rest.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), start, from.len()) };
    Ok(from.len())
}

/// A C string, or none for null.
///
/// # Safety
/// A non-null `start` points to bytes that end with a NUL and that nobody writes during `'a`.
pub unsafe fn text<'a>(start: *const c_char) -> Option<&'a CStr> {
    // SAFETY: not null; the caller answers for the rest.
    (!start.is_null()).then(|| unsafe { CStr::from_ptr(start) })
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn bytes_are_taken_when_pointer_and_length_fit() {
        let data = *b"data";
        // SAFETY: every non-null pointer here is of `data`, with its length or less; the others are never read.
        let check = |start: *const u8, len: i64, expected: Result<&[u8], PointerError>| unsafe {
            assert_eq!(bytes(start, len), expected, "{len}");
        };
        check(data.as_ptr(), 4, Ok(b"data"));
        check(data.as_ptr(), 1, Ok(b"d"));
        check(data.as_ptr(), 0, Ok(b""));
        check(ptr::null(), 0, Ok(b""));
        check(ptr::null(), 1, Err(PointerError::Null));
        check(data.as_ptr(), -1, Err(PointerError::Length));
        // SAFETY: refused before anything is read.
        let beyond = unsafe { bytes(data.as_ptr(), usize::MAX) };
        assert_eq!(beyond, Err(PointerError::Length));
    }

    #[test]
    fn nothing_is_written_unless_all_of_it_fits() {
        let mut buffer = [0; 4];
        let start = buffer.as_mut_ptr();
        // SAFETY: `start` has the four bytes that the largest capacity says.
        unsafe {
            assert_eq!(write(start, 4, b"12345"), Err(PointerError::BufferTooSmall { needed: 5, capacity: 4 }));
            assert_eq!(write(start, 2, b"123"), Err(PointerError::BufferTooSmall { needed: 3, capacity: 2 }));
            assert_eq!(write(start, -1, b""), Err(PointerError::Length));
            assert_eq!(write(ptr::null_mut(), 4, b"1"), Err(PointerError::Null));
            assert_eq!(write(ptr::null_mut(), 0, b""), Ok(0));
        }
        assert_eq!(buffer, [0; 4]);
        // SAFETY: as above.
        assert_eq!(unsafe { write(buffer.as_mut_ptr(), 4, b"1234") }, Ok(4));
        assert_eq!(&buffer, b"1234");
    }

    #[test]
    fn text_may_be_missing() {
        // SAFETY: null, and a literal.
        let (missing, found) = unsafe { (text(ptr::null()), text(c"cloudhsm".as_ptr())) };
        assert_eq!(missing, None);
        assert_eq!(found, Some(c"cloudhsm"));
    }
}
