//! Buffers that hold secrets for a while. They are wiped as slices: `zeroize` takes those at the speed of memory, and goes
//! through a `Vec` or a `Box` byte by byte.

use std::ops::Deref;

use zeroize::Zeroize;

use crate::Secret;

/// Zeros over the bytes, at the speed of memory, in a way that the compiler must keep.
pub fn wipe(bytes: &mut [u8]) {
    bytes.zeroize();
}

/// Zeros over a buffer, which is empty then and keeps its capacity.
pub fn wipe_and_clear(buffer: &mut Vec<u8>) {
    wipe(buffer);
    buffer.clear();
}

/// Makes room for so many bytes in all. Where a buffer must move for that, its old place is wiped.
pub fn reserve_total(buffer: &mut Vec<u8>, len: usize) {
    if len > buffer.capacity() {
        drop(moved(buffer, len));
    }
}

/// Moves a buffer to where there is room for so many bytes; its old place, wiped.
fn moved(buffer: &mut Vec<u8>, len: usize) -> Vec<u8> {
    let mut larger = Vec::with_capacity(len);
    larger.extend_from_slice(buffer);
    let mut old = std::mem::replace(buffer, larger);
    wipe(&mut old);
    old
}

/// A secret in the making, of bytes that come in pieces: wiped when dropped, and what grows leaves nothing where it was.
#[derive(Default)]
pub struct SecretBuffer(Vec<u8>);

impl SecretBuffer {
    /// An empty one with room for so many bytes.
    pub fn with_capacity(len: usize) -> SecretBuffer {
        SecretBuffer(Vec::with_capacity(len))
    }

    /// Makes room for so many bytes in all.
    pub fn reserve_total(&mut self, len: usize) {
        reserve_total(&mut self.0, len);
    }

    /// Adds the bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let len = self.0.len().saturating_add(bytes.len());
        if len > self.0.capacity() {
            self.reserve_total(len.max(2 * self.0.capacity()));
        }
        self.0.extend_from_slice(bytes);
    }

    /// Wipes what is there. The room stays.
    pub fn clear(&mut self) {
        wipe_and_clear(&mut self.0);
    }

    /// Bytes that there is room for.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// All of it, for good.
    pub fn into_secret(mut self) -> Secret {
        Secret::new(std::mem::take(&mut self.0))
    }
}

impl Deref for SecretBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for SecretBuffer {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiped_bytes_are_zero() {
        let mut bytes = *b"a secret";
        wipe(&mut bytes[2..]);
        assert_eq!(&bytes, b"a \0\0\0\0\0\0");
        wipe(&mut []);
        let mut buffer = b"a secret".to_vec();
        let capacity = buffer.capacity();
        wipe_and_clear(&mut buffer);
        assert_eq!((buffer.len(), buffer.capacity()), (0, capacity));
    }

    #[test]
    fn a_buffer_that_moves_keeps_what_it_holds() {
        let mut buffer = Vec::with_capacity(8);
        buffer.extend_from_slice(b"a secret");
        let place = buffer.as_ptr();
        reserve_total(&mut buffer, 8);
        assert_eq!(buffer.as_ptr(), place, "there was room");
        reserve_total(&mut buffer, 9);
        assert!(buffer.capacity() >= 9);
        assert_eq!(buffer, b"a secret");
        assert_eq!(moved(&mut buffer, 20), [0; 8]);
        assert_eq!(buffer, b"a secret");
    }

    #[test]
    fn a_secret_is_made_of_pieces() {
        let mut buffer = SecretBuffer::with_capacity(3);
        for piece in [&b"a "[..], b"", b"sec", b"ret"] {
            buffer.push(piece);
        }
        assert_eq!(&*buffer, b"a secret");
        let room = buffer.capacity();
        buffer.clear();
        assert_eq!((buffer.len(), buffer.capacity()), (0, room));
        buffer.push(b"another");
        assert_eq!(buffer.into_secret(), Secret::from(&b"another"[..]));
    }
}
