//! What ML-DSA signs (FIPS 204 §6.2): μ, in which public key, context and message are hashed together. Whoever has the
//! public key makes it, so a message of any length is signed with a request of 64 bytes.

use crate::sys::Shake256;

/// Bytes of μ.
pub const MU_LEN: usize = 64;

/// μ of a message under this public key, as FIPS 204 encodes it, with an empty context:
/// `SHAKE256(SHAKE256(pk, 64) || 0 || 0 || M, 64)`.
pub fn mu(public_key: &[u8], message: &[u8]) -> [u8; MU_LEN] {
    let mut pieces = MuHasher::new(public_key);
    pieces.update(message);
    pieces.finish()
}

/// μ of a message that comes in pieces.
pub struct MuHasher(Shake256);

impl MuHasher {
    /// Nothing of the message yet.
    pub fn new(public_key: &[u8]) -> MuHasher {
        let mut key_digest = Shake256::new();
        key_digest.update(public_key);
        let mut pieces = Shake256::new();
        pieces.update(&key_digest.finish());
        pieces.update(&[0, 0]);
        MuHasher(pieces)
    }

    /// The next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// μ of all pieces.
    pub fn finish(self) -> [u8; MU_LEN] {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST's example of SHAKE256 with an empty message, and the same bytes cut elsewhere.
    #[test]
    fn shake256_is_the_one_of_fips_202() {
        let shake256 = |pieces: &[&[u8]]| {
            let mut hasher = Shake256::new();
            pieces.iter().for_each(|piece| hasher.update(piece));
            hasher.finish()
        };
        let empty = shake256(&[]);
        assert_eq!(empty[..8], [0x46, 0xb9, 0xdd, 0x2b, 0x0b, 0xa8, 0x8d, 0x13]);
        assert_eq!(shake256(&[b"ab", b"", b"c"]), shake256(&[b"abc"]));
        assert_ne!(shake256(&[b"abc"]), empty);
    }

    #[test]
    fn mu_of_pieces_is_that_of_the_message() {
        let whole = mu(&[1; 1312], b"a message in pieces");
        let mut pieces = MuHasher::new(&[1; 1312]);
        for piece in [&b"a mess"[..], b"", b"age in pieces"] {
            pieces.update(piece);
        }
        assert_eq!(pieces.finish(), whole);
    }

    #[test]
    fn mu_changes_with_key_and_message() {
        let one = mu(&[1; 1312], b"message");
        assert_ne!(one, mu(&[2; 1312], b"message"));
        assert_ne!(one, mu(&[1; 1312], b"messagf"));
    }
}
