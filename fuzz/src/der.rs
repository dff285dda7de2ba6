//! The reader of DER, and what is built on it: public keys, DigestInfo, ECDSA signatures.

use strongroom_crypto::der::Reader;
use strongroom_crypto::digest::{digest_info, parse_digest_info};
use strongroom_crypto::{ecdsa, spki};
use strongroom_types::{Curve, HashFunction};

/// The target.
pub fn run(data: &[u8]) {
    elements(data, 0);
    if let Ok(public) = spki::decode(data) {
        assert_eq!(spki::decode(&spki::encode(&public)).as_ref(), Ok(&public));
        assert!(spki::check(&public));
    }
    if let Some((hash, digest)) = parse_digest_info(data) {
        assert_eq!(digest.len(), hash.digest_len());
        assert_eq!(parse_digest_info(&digest_info(hash, digest)), Some((hash, digest)));
    }
    for curve in Curve::WEIERSTRASS {
        if let Some(raw) = ecdsa::der_to_raw(data, curve) {
            assert_eq!(raw.len(), 2 * curve.field_len());
            assert_eq!(ecdsa::raw_to_der(&raw).as_deref(), Some(data), "DER has one form");
        }
    }
}

/// Walks through every element, and into each as if it were made of elements.
fn elements(bytes: &[u8], depth: usize) {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let Ok((_, content)) = reader.any() else { return };
        assert!(content.len() < bytes.len());
        if depth < 16 {
            elements(content, depth + 1);
        }
    }
    for read in [Reader::unsigned, Reader::bit_string] {
        if let Ok(content) = read(&mut Reader::new(bytes)) {
            assert!(content.len() < bytes.len());
        }
    }
}

/// To begin with: public keys, digests, signatures.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for public in crate::samples::publics() {
        seeds.push(spki::encode(&public));
    }
    seeds.extend(HashFunction::ALL.iter().map(|hash| digest_info(*hash, &vec![0x80; hash.digest_len()])));
    for curve in Curve::WEIERSTRASS {
        let mut raw = vec![0; 2 * curve.field_len()];
        raw[0] = 1;
        raw[2 * curve.field_len() - 1] = 0x80;
        seeds.extend(ecdsa::raw_to_der(&raw));
    }
    seeds
}
