//! Hash functions (FIPS 180-4) and the DigestInfo that PKCS #1 v1.5 signatures carry (RFC 8017 §9.2).

use aws_lc_rs::digest as lc;
use strongroom_types::HashFunction;

/// The digest of `data`, [`HashFunction::digest_len`] bytes.
pub fn digest(hash: HashFunction, data: &[u8]) -> Vec<u8> {
    lc::digest(algorithm(hash), data).as_ref().to_vec()
}

/// A digest made from data that comes in pieces.
#[derive(Clone)]
pub struct Hasher(lc::Context);

impl Hasher {
    /// Nothing hashed yet.
    pub fn new(hash: HashFunction) -> Hasher {
        Hasher(lc::Context::new(algorithm(hash)))
    }

    /// Hashes the next piece.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

fn algorithm(hash: HashFunction) -> &'static lc::Algorithm {
    match hash {
        HashFunction::Sha1 => &lc::SHA1_FOR_LEGACY_USE_ONLY,
        HashFunction::Sha224 => &lc::SHA224,
        HashFunction::Sha256 => &lc::SHA256,
        HashFunction::Sha384 => &lc::SHA384,
        HashFunction::Sha512 => &lc::SHA512,
    }
}

/// What stands before the digest in a DigestInfo: the algorithm with NULL parameters (RFC 8017 §9.2, note 1).
fn prefix(hash: HashFunction) -> &'static [u8] {
    match hash {
        HashFunction::Sha1 => b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
        HashFunction::Sha224 => b"\x30\x2d\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04\x05\x00\x04\x1c",
        HashFunction::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        HashFunction::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        HashFunction::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
    }
}

/// The DER DigestInfo of a digest.
///
/// # Panics
/// When `digest` has not the length of `hash`: the caller made it.
pub fn digest_info(hash: HashFunction, digest: &[u8]) -> Vec<u8> {
    assert_eq!(digest.len(), hash.digest_len(), "a {hash} digest has {} bytes", hash.digest_len());
    [prefix(hash), digest].concat()
}

/// The hash function and the digest of a DigestInfo, in its one DER form with NULL parameters; none for anything else.
pub fn parse_digest_info(data: &[u8]) -> Option<(HashFunction, &[u8])> {
    HashFunction::ALL.into_iter().find_map(|hash| {
        let digest = data.strip_prefix(prefix(hash))?;
        (digest.len() == hash.digest_len()).then_some((hash, digest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn digests_of_abc_are_those_of_fips_180() {
        let check = |hash, expected: &str| {
            assert_eq!(hex(&digest(hash, b"abc")), expected, "{hash}");
            let mut pieces = Hasher::new(hash);
            pieces.update(b"a");
            pieces.update(b"");
            pieces.update(b"bc");
            assert_eq!(hex(&pieces.finish()), expected, "{hash} in pieces");
        };
        check(HashFunction::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
        check(HashFunction::Sha224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7");
        check(HashFunction::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check(
            HashFunction::Sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        );
        check(
            HashFunction::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        );
    }

    #[test]
    fn a_digest_info_reads_back_and_damaged_ones_do_not() {
        for hash in HashFunction::ALL {
            let digest = digest(hash, b"message");
            let info = digest_info(hash, &digest);
            assert_eq!(parse_digest_info(&info), Some((hash, &digest[..])));
            for len in 0..info.len() {
                assert_eq!(parse_digest_info(&info[..len]), None, "{hash} cut to {len}");
            }
            assert_eq!(parse_digest_info(&[&info[..], &[0]].concat()), None, "{hash} with one byte more");
        }
    }
}
