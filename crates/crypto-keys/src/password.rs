//! Password hashes: PBKDF2-HMAC-SHA-512 (SP 800-132, RFC 8018 §5.2).

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA512};
use strongroom_types::Password;

/// Bytes of a hash.
pub const HASH_LEN: usize = 64;
/// Bytes of a salt, random for each password.
pub const SALT_LEN: usize = 16;

/// Hashes a password. `iterations` is the cost: 210,000 take about a tenth of a second.
pub fn hash(password: &Password, salt: &[u8; SALT_LEN], iterations: NonZeroU32) -> [u8; HASH_LEN] {
    let mut hash = [0; HASH_LEN];
    pbkdf2::derive(PBKDF2_HMAC_SHA512, iterations, salt, password.expose(), &mut hash);
    hash
}

/// Whether the password is the one of this hash; compared in constant time.
///
/// HMAC fills its key up with zero bytes, so a password would be right with zero bytes behind it too. None that was set
/// holds any, hence what holds one is wrong.
pub fn verify(password: &Password, salt: &[u8; SALT_LEN], iterations: NonZeroU32, expected: &[u8; HASH_LEN]) -> bool {
    let hashes = pbkdf2::verify(PBKDF2_HMAC_SHA512, iterations, salt, password.expose(), expected).is_ok();
    hashes && !password.expose().contains(&0)
}

#[cfg(test)]
mod tests {
    use strongroom_types::Secret;

    use super::*;

    fn password(text: &str) -> Password {
        Password::for_login(Secret::from(text.as_bytes()))
    }

    /// Computed by `openssl kdf … PBKDF2` and Python's `hashlib.pbkdf2_hmac`, which agree.
    #[test]
    fn the_hash_is_the_one_that_others_compute() {
        let salt = *b"0123456789abcdef";
        let hash = hash(&password("correct horse"), &salt, NonZeroU32::new(1000).unwrap());
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, EXPECTED);
    }

    const EXPECTED: &str = "38cd0502822a0952b5b16b710e27df56505e8ed2dafa4b384cfef526279cc2e4\
                            99086f222db9e52043ce328557fa2d81db0912c6343c091191f4e90d1ae20f31";

    #[test]
    fn another_password_salt_or_cost_does_not_verify() {
        let (salt, cost) = ([7; SALT_LEN], NonZeroU32::new(10).unwrap());
        let hash = hash(&password("password1"), &salt, cost);
        let check = |text: &str, salt: [u8; SALT_LEN], cost: u32, expected: bool| {
            assert_eq!(verify(&password(text), &salt, NonZeroU32::new(cost).unwrap(), &hash), expected, "{text}");
        };
        check("password1", [7; SALT_LEN], 10, true);
        check("password2", [7; SALT_LEN], 10, false);
        check("password1\0", [7; SALT_LEN], 10, false);
        check("password1\0\0", [7; SALT_LEN], 10, false);
        check("", [7; SALT_LEN], 10, false);
        check("password1", [8; SALT_LEN], 10, false);
        check("password1", [7; SALT_LEN], 11, false);
    }
}
