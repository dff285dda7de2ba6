use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::buffers::wipe;

/// Bytes that must not be seen: wiped when dropped, compared in constant time, without content in `Debug`.
///
/// The buffer never grows in place, so no copy stays behind in a freed allocation.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes ownership of `bytes`. A `Vec` with spare capacity is copied and wiped.
    pub fn new(mut bytes: Vec<u8>) -> Secret {
        if bytes.len() == bytes.capacity() {
            return Secret(bytes.into_boxed_slice());
        }
        let copy: Box<[u8]> = bytes.as_slice().into();
        bytes.spare_capacity_mut().zeroize();
        wipe(&mut bytes);
        Secret(copy)
    }

    /// The bytes. Whoever asks answers for where they go.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Secret {
        Secret(bytes.into())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", Secret::from(&b"hunter22"[..])), "Secret(8 bytes)");
    }

    #[test]
    fn equality_is_by_content_and_length() {
        let check = |a: &[u8], b: &[u8], expected| assert_eq!(Secret::from(a) == Secret::from(b), expected);
        check(b"abc", b"abc", true);
        check(b"abc", b"abd", false);
        check(b"abc", b"abcd", false);
        check(b"", b"", true);
    }
}
