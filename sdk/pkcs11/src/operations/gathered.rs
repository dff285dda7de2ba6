//! Parts of what an HSM must see whole.

use cryptoki_sys::CK_RV;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Bytes that come in parts, up to a limit. What grows out of a buffer leaves nothing behind in it.
pub(crate) struct Gathered {
    bytes: Zeroizing<Vec<u8>>,
    max: usize,
    /// What more than the limit is answered with.
    beyond: CK_RV,
}

impl Gathered {
    /// Nothing yet.
    pub(crate) fn new(max: usize, beyond: CK_RV) -> Gathered {
        Gathered { bytes: Zeroizing::default(), max, beyond }
    }

    /// The next part.
    pub(crate) fn push(&mut self, part: &[u8]) -> Result<(), Failure> {
        let len = self.bytes.len().saturating_add(part.len());
        within(len, self.max, self.beyond)?;
        if len > self.bytes.capacity() {
            let mut grown = Zeroizing::new(Vec::with_capacity(len.max(2 * self.bytes.capacity()).min(self.max)));
            grown.extend_from_slice(&self.bytes);
            self.bytes = grown;
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// All parts, for good.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.bytes)
    }

    /// All parts.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Refuses data that are longer than the mechanism takes.
pub(crate) fn within(len: usize, max: usize, beyond: CK_RV) -> Result<(), Failure> {
    if len > max { Err(Failure::call(beyond, "the data are longer than the mechanism takes")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use cryptoki_sys::CKR_DATA_LEN_RANGE;

    use super::*;

    #[test]
    fn parts_are_taken_up_to_the_limit() {
        let mut gathered = Gathered::new(5, CKR_DATA_LEN_RANGE);
        for part in [&b"ab"[..], b"", b"c", b"de"] {
            gathered.push(part).unwrap();
        }
        assert_eq!(gathered.bytes(), b"abcde");
        assert_eq!(gathered.push(b"f").unwrap_err().rv(), CKR_DATA_LEN_RANGE);
        gathered.push(b"").unwrap();
        assert_eq!(gathered.bytes(), b"abcde");
    }
}
