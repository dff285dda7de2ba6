//! The C side: the functions of Cryptoki.
//!
//! * Every entry point checks pointers, traps panics, calls safe code and answers one number. No logic.
//! * What a caller passes is copied or borrowed for the call alone; what is written back is written when all is decided.

mod crypto;
mod general;
mod lists;
mod mechanisms;
mod objects;
#[cfg(test)]
mod tests;

use std::mem;
use std::ptr;
use std::sync::Arc;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_RV, CK_SESSION_HANDLE, CK_ULONG, CKA_UNWRAP_TEMPLATE, CKA_WRAP_TEMPLATE,
    CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_VALUE_INVALID, CKR_BUFFER_TOO_SMALL, CKR_FUNCTION_NOT_SUPPORTED, CKR_OK,
};
use strongroom_client::Level;
use strongroom_ffi::{PointerError, guarded, guarded_whole, pointer};
use strongroom_types::Secret;
use strongroom_types::limits::{ATTRIBUTE_LEN_MAX, TEMPLATE_LEN_MAX};

pub(crate) use self::mechanisms::IvBuffer;
use crate::attribute::{Given, Value};
use crate::failure::Failure;
use crate::library::{self, Library};
use crate::session::Session;

/// Defines entry points that answer `CKR_FUNCTION_NOT_SUPPORTED`.
macro_rules! unsupported {
    ($($name:ident($($argument:ty),*);)*) => {
        $(
            #[unsafe(no_mangle)]
            pub(crate) extern "C" fn $name($(_: $argument),*) -> cryptoki_sys::CK_RV {
                $crate::entry::not_supported(stringify!($name))
            }
        )*
    };
}
pub(crate) use unsupported;

/// What a caller has for an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Nothing: the length is asked for.
    Length,
    /// So many bytes.
    Bytes(usize),
}

/// What a function with an output answers.
#[derive(Debug)]
pub(crate) enum Output {
    /// The length that was asked for. The operation goes on.
    Length(usize),
    /// The length that would be needed. The operation goes on.
    TooSmall(usize),
    /// The output, not longer than the room for it. The operation is over.
    Bytes(Secret),
    /// The same, and the initialisation vector that the HSM drew for it.
    BytesWithIv(Secret, Vec<u8>, IvBuffer),
}

impl From<Secret> for Output {
    fn from(bytes: Secret) -> Output {
        Output::Bytes(bytes)
    }
}

/// The frame of every function but those that make the library or come before it: is it there, and this process's own?
pub(crate) fn entered(function: &'static str, body: impl FnOnce(&Library) -> Result<(), Failure>) -> CK_RV {
    guarded_whole(
        || {
            let library = match library::current() {
                Ok(library) => library,
                Err(failure) => return failure.rv(),
            };
            let Some(library) = library.as_deref() else { return Failure::Panic.rv() };
            let result = body(library);
            match result {
                Ok(()) if library.log.keeps(Level::Debug) => {
                    library.log.write(Level::Debug, &format!("{function}: CKR_OK"));
                    CKR_OK
                }
                Ok(()) => CKR_OK,
                Err(failure) => {
                    if library.log.keeps(failure.level()) {
                        library.log.write(failure.level(), &failure.line(function));
                    }
                    failure.rv()
                }
            }
        },
        || {
            let line = Failure::Panic.line(function);
            // A second panic would abort the process.
            guarded(
                || {
                    if let Ok(library) = library::current()
                        && let Some(library) = library.as_deref()
                    {
                        library.log.write(Level::Error, &line);
                    }
                },
                || (),
            );
            Failure::Panic.rv()
        },
    )
}

/// The same for a function of a session.
pub(crate) fn in_session(
    function: &'static str,
    handle: CK_SESSION_HANDLE,
    body: impl FnOnce(&Arc<Session>) -> Result<(), Failure>,
) -> CK_RV {
    entered(function, |library| body(&library.sessions.get(handle)?))
}

/// What a function answers that the library does not have.
pub(crate) fn not_supported(function: &'static str) -> CK_RV {
    entered(function, |_| Err(Failure::call(CKR_FUNCTION_NOT_SUPPORTED, "the library does not have this function")))
}

/// Bytes that a caller passes. They may overlap an output, so nothing may be written while they are in use.
///
/// # Safety
/// A non-null `start` points to `len` bytes that are initialised and that nobody writes during `'a`.
pub(crate) unsafe fn bytes<'a>(start: *const CK_BYTE, len: CK_ULONG) -> Result<&'a [u8], Failure> {
    // SAFETY: the caller's.
    Ok(unsafe { pointer::bytes(start, len) }?)
}

/// Writes a value where a caller wants it.
///
/// # Safety
/// A non-null `to` points to room for a value.
pub(crate) unsafe fn put<T>(to: *mut T, value: T) -> Result<(), Failure> {
    if to.is_null() {
        return Err(PointerError::Null.into());
    }
    // SAFETY: not null; the caller answers for the rest.
    unsafe { ptr::write_unaligned(to, value) };
    Ok(())
}

/// Reads a value that a caller points to.
///
/// # Safety
/// A non-null `from` points to an initialised value.
pub(crate) unsafe fn take<T: Copy>(from: *const T) -> Result<T, Failure> {
    if from.is_null() {
        return Err(PointerError::Null.into());
    }
    // SAFETY: not null; the caller answers for the rest.
    Ok(unsafe { ptr::read_unaligned(from) })
}

/// Gives a list in Cryptoki's way: its length when there is no room, all of it or `CKR_BUFFER_TOO_SMALL` (PKCS #11 v2.40
/// §5.2).
///
/// # Safety
/// `count` is null or points to a number; a non-null `to` points to room for as many values as that says.
pub(crate) unsafe fn put_list<T: Copy>(to: *mut T, count: *mut CK_ULONG, all: &[T]) -> Result<(), Failure> {
    // SAFETY: the caller's.
    let room = unsafe { take(count) }?;
    // SAFETY: not null.
    unsafe { put(count, all.len() as CK_ULONG) }?;
    if to.is_null() {
        return Ok(());
    }
    if room < all.len() as CK_ULONG {
        return Err(Failure::call(CKR_BUFFER_TOO_SMALL, "the list is longer than the room for it"));
    }
    for (index, value) in all.iter().enumerate() {
        // SAFETY: there is room for all.
        unsafe { ptr::write_unaligned(to.add(index), *value) };
    }
    Ok(())
}

/// Gives an output in Cryptoki's way (PKCS #11 v2.40 §5.2). What was borrowed to make it is so no more when it is written.
///
/// # Safety
/// `len` is null or points to a number; a non-null `to` points to as many bytes as that says.
pub(crate) unsafe fn put_output(
    to: *mut CK_BYTE,
    len: *mut CK_ULONG,
    make: impl FnOnce(Room) -> Result<Output, Failure>,
) -> Result<(), Failure> {
    // SAFETY: the caller's.
    let capacity = unsafe { take(len) }?;
    let room = match to.is_null() {
        true => Room::Length,
        // More than memory has is as good as all of it.
        false => Room::Bytes(usize::try_from(capacity).unwrap_or(usize::MAX)),
    };
    let write = |output: &Secret| {
        // SAFETY: the caller's; a null pointer is refused unless there is nothing to write.
        unsafe { pointer::write(to, capacity.min(isize::MAX as CK_ULONG), output.expose()) }
    };
    let (needed, too_small) = match make(room)? {
        Output::Length(needed) => (needed, false),
        Output::TooSmall(needed) => (needed, true),
        Output::Bytes(output) => (write(&output)?, false),
        Output::BytesWithIv(output, iv, buffer) => {
            let written = write(&output)?;
            buffer.write(&iv);
            (written, false)
        }
    };
    // SAFETY: not null.
    unsafe { put(len, needed as CK_ULONG) }?;
    match too_small {
        true => Err(Failure::call(CKR_BUFFER_TOO_SMALL, "the output is longer than the room for it")),
        false => Ok(()),
    }
}

/// A template, copied out of the caller's memory.
///
/// # Safety
/// A non-null `start` points to `count` attributes, each of whose values is null or points to as many bytes as it says.
pub(crate) unsafe fn template(start: *const CK_ATTRIBUTE, count: CK_ULONG) -> Result<Vec<Given>, Failure> {
    // SAFETY: the caller's.
    unsafe { template_at(start, count, true) }
}

/// # Safety
/// As [`template`].
unsafe fn template_at(start: *const CK_ATTRIBUTE, count: CK_ULONG, may_nest: bool) -> Result<Vec<Given>, Failure> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > TEMPLATE_LEN_MAX {
        return Err(Failure::call(CKR_ARGUMENTS_BAD, "a template has at most 64 attributes"));
    }
    if count > 0 && start.is_null() {
        return Err(PointerError::Null.into());
    }
    let given = (0..count).map(|index| {
        // SAFETY: within the template; a nested one may lie anywhere.
        let attribute = unsafe { ptr::read_unaligned(start.add(index)) };
        let kind = attribute.type_;
        // SAFETY: an attribute of the caller's.
        let value = unsafe { value_of(&attribute, may_nest) }?;
        Ok(Given { kind, value })
    });
    given.collect()
}

/// # Safety
/// The value is null or points to as many bytes as the attribute says.
unsafe fn value_of(attribute: &CK_ATTRIBUTE, may_nest: bool) -> Result<Value, Failure> {
    let wrong = |why| Failure::Attribute { rv: CKR_ATTRIBUTE_VALUE_INVALID, attribute: attribute.type_, why };
    let len = usize::try_from(attribute.ulValueLen).unwrap_or(usize::MAX);
    if len > ATTRIBUTE_LEN_MAX {
        return Err(wrong("the value is longer than 64 KiB"));
    }
    if len > 0 && attribute.pValue.is_null() {
        return Err(wrong("the value is null and has a length"));
    }
    if !matches!(attribute.type_, CKA_WRAP_TEMPLATE | CKA_UNWRAP_TEMPLATE) {
        // SAFETY: the caller's.
        return Ok(Value::Bytes(Secret::from(unsafe { pointer::bytes(attribute.pValue.cast(), len) }?)));
    }
    if !may_nest {
        return Err(wrong("a template within a template holds no further one"));
    }
    if !len.is_multiple_of(mem::size_of::<CK_ATTRIBUTE>()) {
        return Err(wrong("the length is no multiple of an attribute's"));
    }
    let count = len / mem::size_of::<CK_ATTRIBUTE>();
    // SAFETY: as many attributes as the length says.
    Ok(Value::Template(unsafe { template_at(attribute.pValue.cast(), count as CK_ULONG, false) }?))
}
