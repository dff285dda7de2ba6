//! SP 800-108r1 §4.1: key derivation in counter mode with HMAC-SHA-256.

use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};
use strongroom_types::ClusterId;

/// Bytes of every key here.
pub(super) const KEY_LEN: usize = 32;

/// Derives the key of `label` and `context` from `key`. The fixed input is label, a zero byte, context, and the length
/// of the result in bits as four bytes. Labels hold no zero byte.
pub(super) fn derive(key: &[u8], label: &str, context: &[&[u8]], result: &mut [u8]) {
    let bits = u32::try_from(result.len() * 8).expect("keys are short");
    let mut fixed = Vec::with_capacity(128);
    fixed.extend_from_slice(label.as_bytes());
    fixed.push(0);
    context.iter().for_each(|part| fixed.extend_from_slice(part));
    fixed.extend_from_slice(&bits.to_be_bytes());
    let algorithm = get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256).expect("HMAC-SHA-256 is there");
    kbkdf_ctr_hmac(algorithm, key, &fixed, result).expect("AWS-LC derives keys of any length that is not zero");
}

/// One byte of length, then the id: so nothing that follows can be taken for a part of it.
pub(super) fn push_cluster(bytes: &mut Vec<u8>, cluster: &ClusterId) {
    let id = cluster.as_str().as_bytes();
    bytes.push(u8::try_from(id.len()).expect("a cluster id has at most 24 characters"));
    bytes.extend_from_slice(id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::hex;

    /// Computed with Python's `hmac`: HMAC(key, 00000001 || label || 00 || context || 00000100); for 40 bytes the length
    /// is 00000140, and the second block has the counter 2.
    #[test]
    fn keys_are_those_that_others_compute() {
        let key: Vec<u8> = (0..32).collect();
        let mut result = [0; 32];
        derive(&key, "a label", &[b"con", b"text"], &mut result);
        assert_eq!(hex(&result), "9a808f6e9e6bdf40aa477998b4de6594b820961714af5cdd3ea713286d39a35e");
        let mut longer = [0; 40];
        derive(&key, "a label", &[b"con", b"text"], &mut longer);
        assert_eq!(hex(&longer), "314e86296be6e1e0543b95bdd0a988f2218d2e4308cfb199eb5cd9d9786af732dc0e72f9002ccb61");
    }

    #[test]
    fn label_and_context_do_not_run_into_each_other() {
        let derived = |label: &str, context: &[&[u8]]| {
            let mut result = [0; 32];
            derive(&[7; 32], label, context, &mut result);
            result
        };
        assert_ne!(derived("ab", &[b"c"]), derived("a", &[b"bc"]));
        assert_ne!(derived("ab", &[b"c"]), derived("ab", &[b"d"]));
        assert_eq!(derived("ab", &[b"c", b"d"]), derived("ab", &[b"cd"]));
    }
}
