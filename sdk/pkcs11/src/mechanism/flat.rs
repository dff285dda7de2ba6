//! A caller's memory without pointers: for tests, and for what is fuzzed.

use strongroom_ffi::PointerError;

use super::Memory;
use crate::entry::IvBuffer;

/// Some bytes, at addresses from [`BASE`] on; every other one is as good as null.
#[derive(Default)]
pub(super) struct Flat(pub(super) Vec<u8>);

/// The address of the first byte.
pub(super) const BASE: usize = 0x1000;

impl Memory for Flat {
    fn copy(&self, from: usize, into: &mut [u8]) -> Result<(), PointerError> {
        let start = from.checked_sub(BASE).ok_or(PointerError::Null)?;
        let end = start.checked_add(into.len()).ok_or(PointerError::Length)?;
        into.copy_from_slice(self.0.get(start..end).ok_or(PointerError::Null)?);
        Ok(())
    }

    fn buffer(&self, _: usize, len: usize) -> IvBuffer {
        IvBuffer::nowhere(len)
    }
}

/// Reads the mechanism at this place of the table, whose parameter is the first `len` bytes of a memory that begins at 4,096.
/// Its name, if the parameter is one.
#[cfg(feature = "fuzz")]
pub fn mechanism_in(place: usize, len: u64, memory: &[u8]) -> Option<&'static str> {
    let table = super::table::TABLE;
    let row = table.get(place % table.len())?;
    super::read(&Flat(memory.to_vec()), row.number, BASE, len).ok().map(|mechanism| mechanism.row.name)
}

/// How many places the table has.
#[cfg(feature = "fuzz")]
pub const MECHANISMS: usize = super::table::TABLE.len();
