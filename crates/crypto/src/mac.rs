use aws_lc_rs::{constant_time, hmac};

/// HMAC-SHA-256 (FIPS 198-1) over the parts one after the other. Parts of changing length need a length in front:
/// their borders are not part of what is authenticated.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign().as_ref().try_into().expect("an HMAC-SHA-256 tag has 32 bytes")
}

/// Whether two byte strings are the same, in a time that depends on their lengths only.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_of_rfc_4231_case_2() {
        let expected = [
            0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00,
            0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43,
        ];
        assert_eq!(hmac_sha256(b"Jefe", &[b"what do ya want ", b"", b"for nothing?"]), expected);
        assert_ne!(hmac_sha256(b"Jeff", &[b"what do ya want for nothing?"]), expected);
    }

    #[test]
    fn equality_is_by_content_and_length() {
        assert!(equal(b"", b""));
        assert!(equal(b"abc", b"abc"));
        assert!(!equal(b"abc", b"abd"));
        assert!(!equal(b"abc", b"abcd"));
    }
}
