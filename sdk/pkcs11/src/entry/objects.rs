//! Objects: making, finding, reading, changing, wrapping, deriving, destroying.

use std::mem;
use std::ptr;

use cryptoki_sys::*;
use strongroom_ffi::{PointerError, pointer};
use strongroom_types::limits::ATTRIBUTES_READ_MAX;

use super::mechanisms::mechanism_at;
use super::{Room, bytes, in_session, put, put_output, template, unsupported};
use crate::failure::Failure;
use crate::objects::Reading;

unsupported! {
    C_GetObjectSize(CK_SESSION_HANDLE, CK_OBJECT_HANDLE, *mut CK_ULONG);
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_CreateObject(
    session: CK_SESSION_HANDLE,
    attributes: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    object: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    in_session("C_CreateObject", session, |session| {
        check(object)?;
        // SAFETY: the caller's.
        let given = unsafe { template(attributes, count) }?;
        session.note_template("C_CreateObject", &given);
        // SAFETY: the caller's.
        unsafe { put(object, session.create_object(&given)?) }
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_CopyObject(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    attributes: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    copy: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    in_session("C_CopyObject", session, |session| {
        check(copy)?;
        // SAFETY: the caller's.
        let given = unsafe { template(attributes, count) }?;
        // SAFETY: the caller's.
        unsafe { put(copy, session.copy_object(object, &given)?) }
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_DestroyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> CK_RV {
    in_session("C_DestroyObject", session, |session| session.destroy_object(object))
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    attributes: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    in_session("C_GetAttributeValue", session, |session| {
        // SAFETY: the caller's.
        let wanted = unsafe { wanted(attributes, count) }?;
        let readings = session.attribute_values(object, &wanted)?;
        let mut worst = Answered::Filled;
        for (index, reading) in readings.iter().enumerate() {
            // SAFETY: as many attributes as there are readings.
            worst = worst.max(unsafe { put_reading(attributes.add(index), reading) });
        }
        worst.result()
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_SetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    attributes: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    in_session("C_SetAttributeValue", session, |session| {
        // SAFETY: the caller's.
        session.set_attributes(object, &unsafe { template(attributes, count) }?)
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_FindObjectsInit(
    session: CK_SESSION_HANDLE,
    attributes: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    in_session("C_FindObjectsInit", session, |session| {
        // SAFETY: the caller's.
        session.find_init(&unsafe { template(attributes, count) }?)
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_FindObjects(
    session: CK_SESSION_HANDLE,
    objects: *mut CK_OBJECT_HANDLE,
    max: CK_ULONG,
    count: *mut CK_ULONG,
) -> CK_RV {
    in_session("C_FindObjects", session, |session| {
        check(count)?;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let room = if objects.is_null() { Room::Length } else { Room::Bytes(max) };
        let (found, handles) = session.find(room, max)?;
        for (index, handle) in handles.into_iter().enumerate() {
            // SAFETY: at most as many as there is room for.
            unsafe { put(objects.add(index), handle) }?;
        }
        // SAFETY: not null.
        unsafe { put(count, found as CK_ULONG) }
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_FindObjectsFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    in_session("C_FindObjectsFinal", session, |session| session.find_final())
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GenerateKey(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    attributes: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    in_session("C_GenerateKey", session, |session| {
        check(key)?;
        // SAFETY: the caller's.
        let (mechanism, given) = unsafe { (mechanism_at(mechanism)?, template(attributes, count)?) };
        // SAFETY: the caller's.
        unsafe { put(key, session.generate_key(&mechanism, &given)?) }
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GenerateKeyPair(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    public: *mut CK_ATTRIBUTE,
    public_count: CK_ULONG,
    private: *mut CK_ATTRIBUTE,
    private_count: CK_ULONG,
    public_key: *mut CK_OBJECT_HANDLE,
    private_key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    in_session("C_GenerateKeyPair", session, |session| {
        check(public_key)?;
        check(private_key)?;
        // SAFETY: the caller's.
        let mechanism = unsafe { mechanism_at(mechanism) }?;
        // SAFETY: the caller's.
        let (public, private) = unsafe { (template(public, public_count)?, template(private, private_count)?) };
        let (public, private) = session.generate_key_pair(&mechanism, &public, &private)?;
        // SAFETY: the caller's.
        unsafe { put(public_key, public)? };
        // SAFETY: the caller's.
        unsafe { put(private_key, private) }
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_WrapKey(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    wrapping_key: CK_OBJECT_HANDLE,
    key: CK_OBJECT_HANDLE,
    wrapped: *mut CK_BYTE,
    len: *mut CK_ULONG,
) -> CK_RV {
    in_session("C_WrapKey", session, |session| {
        // SAFETY: the caller's.
        let mechanism = unsafe { mechanism_at(mechanism) }?;
        // SAFETY: the caller's.
        unsafe { put_output(wrapped, len, |room| session.wrap_key(mechanism, wrapping_key, key, room)) }
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_UnwrapKey(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    unwrapping_key: CK_OBJECT_HANDLE,
    wrapped: *mut CK_BYTE,
    len: CK_ULONG,
    attributes: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    in_session("C_UnwrapKey", session, |session| {
        check(key)?;
        // SAFETY: the caller's, all three.
        let (mechanism, wrapped, given) =
            unsafe { (mechanism_at(mechanism)?, bytes(wrapped, len)?, template(attributes, count)?) };
        // SAFETY: the caller's.
        unsafe { put(key, session.unwrap_key(&mechanism, unwrapping_key, wrapped, &given)?) }
    })
}

/// # Safety
/// As the standard's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_DeriveKey(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    base: CK_OBJECT_HANDLE,
    attributes: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    in_session("C_DeriveKey", session, |session| {
        check(key)?;
        // SAFETY: the caller's.
        let (mechanism, given) = unsafe { (mechanism_at(mechanism)?, template(attributes, count)?) };
        // SAFETY: the caller's.
        unsafe { put(key, session.derive_key(&mechanism, base, &given)?) }
    })
}

/// Refuses a null pointer before anything is done whose result would be lost.
fn check<T>(pointer: *mut T) -> Result<(), Failure> {
    if pointer.is_null() { Err(PointerError::Null.into()) } else { Ok(()) }
}

/// The types of attributes that a caller asks for.
///
/// # Safety
/// A non-null `start` points to `count` attributes.
pub(super) unsafe fn wanted(start: *const CK_ATTRIBUTE, count: CK_ULONG) -> Result<Vec<CK_ATTRIBUTE_TYPE>, Failure> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > ATTRIBUTES_READ_MAX {
        return Err(Failure::call(CKR_ARGUMENTS_BAD, "a call reads at most 1,024 attributes"));
    }
    if count > 0 && start.is_null() {
        return Err(PointerError::Null.into());
    }
    // SAFETY: within the template.
    Ok((0..count).map(|index| unsafe { ptr::read_unaligned(start.add(index)) }.type_).collect())
}

/// What became of one attribute that was asked for. Of several the greatest is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answered {
    Filled,
    TooSmall,
    Unknown,
    Sensitive,
}

impl Answered {
    fn result(self) -> Result<(), Failure> {
        let (rv, why) = match self {
            Answered::Filled => return Ok(()),
            Answered::TooSmall => (CKR_BUFFER_TOO_SMALL, "a value is longer than the room for it"),
            Answered::Unknown => (CKR_ATTRIBUTE_TYPE_INVALID, "the object does not have all of these attributes"),
            Answered::Sensitive => (CKR_ATTRIBUTE_SENSITIVE, "a value is a secret"),
        };
        Err(Failure::call(rv, why))
    }
}

/// Writes one value, or why there is none (PKCS #11 v2.40 §5.7, `C_GetAttributeValue`).
///
/// # Safety
/// `attribute` points to an attribute whose value is null or points to as many bytes as it says; those of a template are
/// attributes of the same kind.
unsafe fn put_reading(attribute: *mut CK_ATTRIBUTE, reading: &Reading) -> Answered {
    match reading {
        // SAFETY: the caller's.
        Reading::Value(value) => unsafe { put_value(attribute, value.expose()) },
        // SAFETY: the caller's.
        Reading::Template(entries) => unsafe { put_template(attribute, entries) },
        Reading::None => {
            // SAFETY: the caller's.
            unsafe { put_len(attribute, CK_UNAVAILABLE_INFORMATION) };
            Answered::Unknown
        }
        Reading::Sensitive => {
            // SAFETY: the caller's.
            unsafe { put_len(attribute, CK_UNAVAILABLE_INFORMATION) };
            Answered::Sensitive
        }
    }
}

/// # Safety
/// `attribute` points to one.
unsafe fn put_len(attribute: *mut CK_ATTRIBUTE, len: CK_ULONG) {
    // SAFETY: the caller's.
    unsafe { ptr::write_unaligned(&raw mut (*attribute).ulValueLen, len) };
}

/// # Safety
/// As [`put_reading`].
unsafe fn put_value(attribute: *mut CK_ATTRIBUTE, value: &[u8]) -> Answered {
    // SAFETY: the caller's.
    let CK_ATTRIBUTE { pValue: to, ulValueLen: room, .. } = unsafe { ptr::read_unaligned(attribute) };
    let len = value.len() as CK_ULONG;
    if !to.is_null() {
        // SAFETY: the caller's; more room than memory has is as good as all of it.
        if unsafe { pointer::write(to.cast(), room.min(isize::MAX as CK_ULONG), value) }.is_err() {
            // SAFETY: the caller's.
            unsafe { put_len(attribute, CK_UNAVAILABLE_INFORMATION) };
            return Answered::TooSmall;
        }
    }
    // SAFETY: the caller's.
    unsafe { put_len(attribute, len) };
    Answered::Filled
}

/// Writes a template into an array of attributes, each of whose values has its own room.
///
/// # Safety
/// As [`put_reading`].
unsafe fn put_template(attribute: *mut CK_ATTRIBUTE, entries: &[(CK_ATTRIBUTE_TYPE, Vec<u8>)]) -> Answered {
    // SAFETY: the caller's.
    let CK_ATTRIBUTE { pValue: to, ulValueLen: room, .. } = unsafe { ptr::read_unaligned(attribute) };
    let len = entries.len() * mem::size_of::<CK_ATTRIBUTE>();
    if to.is_null() {
        // SAFETY: the caller's.
        unsafe { put_len(attribute, len as CK_ULONG) };
        return Answered::Filled;
    }
    if room < len as CK_ULONG {
        // SAFETY: the caller's.
        unsafe { put_len(attribute, CK_UNAVAILABLE_INFORMATION) };
        return Answered::TooSmall;
    }
    let mut worst = Answered::Filled;
    for (index, (kind, value)) in entries.iter().enumerate() {
        // SAFETY: there is room for all.
        let entry = unsafe { to.cast::<CK_ATTRIBUTE>().add(index) };
        // SAFETY: the caller's.
        unsafe { ptr::write_unaligned(&raw mut (*entry).type_, *kind) };
        // SAFETY: the caller's.
        worst = worst.max(unsafe { put_value(entry, value) });
    }
    // SAFETY: the caller's.
    unsafe { put_len(attribute, len as CK_ULONG) };
    worst
}
