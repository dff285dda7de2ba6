//! Cryptographic operations: what a session has begun, and how it goes on and ends.
//!
//! * A state begins in `C_*Init` and ends with its result, with any error, or when it is cancelled; a length that was asked
//!   for, or a buffer that is too short, end nothing and cost no round trip where the length is known beforehand.
//! * No state lies on an HSM: digests are made here, blocks are chained here, what must be seen whole is gathered here. Each
//!   call that gives something is one request that can be repeated on another HSM.
//! * What a key may be used for is the HSM's to decide, at every use. What `C_*Init` checks it checks to refuse early.
//! * A state knows nothing of sessions or pointers.

mod blocks;
mod cipher;
mod counter;
mod digest;
#[cfg(test)]
mod fake;
mod gathered;
mod hsms;
mod message;
mod session;
mod sign;
#[cfg(test)]
mod tests;

use cryptoki_sys::{CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED};
use strongroom_ffi::PointerError;
use strongroom_types::Secret;

pub(crate) use self::cipher::Ciphering;
pub(crate) use self::digest::Digesting;
pub(crate) use self::hsms::Hsms;
pub(crate) use self::sign::{Signing, Verifying};
use crate::entry::{Output, Room};
use crate::failure::Failure;

/// What comes from a caller's pointers: a wrong one ends the operation too.
pub(crate) type FromCaller<T> = Result<T, PointerError>;

/// Gives out something whose length is known before it is made.
fn give<T: Into<Output>>(len: usize, room: Room, make: impl FnOnce() -> Result<T, Failure>) -> Result<Output, Failure> {
    match room {
        Room::Length => Ok(Output::Length(len)),
        Room::Bytes(room) if room < len => Ok(Output::TooSmall(len)),
        Room::Bytes(_) => make().map(T::into),
    }
}

/// Gives out something whose length is not known before it is made, and at most `len`.
fn give_at_most(len: usize, room: Room, make: impl FnOnce() -> Result<Secret, Failure>) -> Result<Output, Failure> {
    let Room::Bytes(room) = room else { return Ok(Output::Length(len)) };
    let made = make()?;
    if made.len() > room { Ok(Output::TooSmall(made.len())) } else { Ok(Output::Bytes(made)) }
}

/// Begins an operation where none is.
fn begin<T>(active: &mut Option<T>, make: impl FnOnce() -> Result<T, Failure>) -> Result<(), Failure> {
    if active.is_some() {
        return Err(Failure::call(CKR_OPERATION_ACTIVE, "the session has such an operation, which has not ended"));
    }
    *active = Some(make()?);
    Ok(())
}

/// A call after which the operation goes on; an error ends it.
fn next<T, R>(active: &mut Option<T>, call: impl FnOnce(&mut T) -> Result<R, Failure>) -> Result<R, Failure> {
    let mut operation = active.take().ok_or_else(not_initialized)?;
    let result = call(&mut operation)?;
    *active = Some(operation);
    Ok(result)
}

/// A call that ends the operation, unless only a length was asked for or the buffer is too short.
fn last<T>(active: &mut Option<T>, call: impl FnOnce(&mut T) -> Result<Output, Failure>) -> Result<Output, Failure> {
    let mut operation = active.take().ok_or_else(not_initialized)?;
    let output = call(&mut operation)?;
    match output {
        Output::Length(_) | Output::TooSmall(_) => *active = Some(operation),
        Output::Bytes(_) | Output::BytesWithIv(..) => {}
    }
    Ok(output)
}

fn not_initialized() -> Failure {
    Failure::call(CKR_OPERATION_NOT_INITIALIZED, "the session has begun no such operation, or it has ended")
}

/// What a call in one part answers when parts were given before it (PKCS #11 v2.40 §5.8: it "cannot be used to terminate a
/// multi-part operation").
fn in_parts() -> Failure {
    Failure::call(CKR_OPERATION_ACTIVE, "parts were given before; the operation ends with its Final call")
}
