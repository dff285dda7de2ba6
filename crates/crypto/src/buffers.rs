//! Buffers that hold secrets for a while. `zeroize` writes byte by byte, which is right for keys and slow for data.

use crate::sys;

/// Zeros over the bytes, at the speed of memory, in a way that the compiler must keep.
pub fn wipe(bytes: &mut [u8]) {
    sys::cleanse(bytes);
}

/// Zeros over a buffer, which is empty then and keeps its capacity.
pub fn wipe_and_clear(buffer: &mut Vec<u8>) {
    wipe(buffer);
    buffer.clear();
}

/// Makes room for so many bytes in all. Where a buffer must move for that, its old place is wiped.
pub fn reserve_total(buffer: &mut Vec<u8>, len: usize) {
    if len <= buffer.capacity() {
        return;
    }
    let mut larger = Vec::with_capacity(len);
    larger.extend_from_slice(buffer);
    wipe(&mut std::mem::replace(buffer, larger));
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
    }
}
