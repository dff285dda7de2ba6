//! Parts of what an HSM must see whole.

use cryptoki_sys::CK_RV;
use strongroom_types::Secret;
use strongroom_types::buffers::SecretBuffer;

use crate::failure::Failure;

/// Bytes that come in parts, up to a limit.
pub(crate) struct Gathered {
    bytes: SecretBuffer,
    max: usize,
    /// What more than the limit is answered with.
    beyond: CK_RV,
}

impl Gathered {
    /// Nothing yet.
    pub(crate) fn new(max: usize, beyond: CK_RV) -> Gathered {
        Gathered { bytes: SecretBuffer::default(), max, beyond }
    }

    /// The next part.
    pub(crate) fn push(&mut self, part: &[u8]) -> Result<(), Failure> {
        let len = self.bytes.len().saturating_add(part.len());
        within(len, self.max, self.beyond)?;
        if len > self.bytes.capacity() {
            self.bytes.reserve_total(len.max(2 * self.bytes.capacity()).min(self.max));
        }
        self.bytes.push(part);
        Ok(())
    }

    /// All parts, for good.
    pub(crate) fn into_secret(self) -> Secret {
        self.bytes.into_secret()
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
