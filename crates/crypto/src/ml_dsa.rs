//! What ML-DSA signs (FIPS 204 §6.2): μ, in which public key, context and message are hashed together. Whoever has the
//! public key makes it, so a message of any length is signed with a request of 64 bytes.

use crate::sys;

/// Bytes of μ.
pub const MU_LEN: usize = 64;

/// μ of a message under this public key, as FIPS 204 encodes it, with an empty context:
/// `SHAKE256(SHAKE256(pk, 64) || 0 || 0 || M, 64)`.
pub fn mu(public_key: &[u8], message: &[u8]) -> [u8; MU_LEN] {
    let key_digest = sys::shake256(&[public_key]);
    sys::shake256(&[&key_digest, &[0, 0], message])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST's example of SHAKE256 with an empty message, and the same bytes cut elsewhere.
    #[test]
    fn shake256_is_the_one_of_fips_202() {
        let empty = sys::shake256(&[]);
        assert_eq!(empty[..8], [0x46, 0xb9, 0xdd, 0x2b, 0x0b, 0xa8, 0x8d, 0x13]);
        assert_eq!(sys::shake256(&[b"ab", b"", b"c"]), sys::shake256(&[b"abc"]));
        assert_ne!(sys::shake256(&[b"abc"]), empty);
    }

    #[test]
    fn mu_changes_with_key_and_message() {
        let one = mu(&[1; 1312], b"message");
        assert_ne!(one, mu(&[2; 1312], b"message"));
        assert_ne!(one, mu(&[1; 1312], b"messagf"));
    }
}
