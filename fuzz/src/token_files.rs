//! Token files, which come from the people who approve.

use crate::{edits, raw_or_edited};

/// A file with the signature of one approver.
const FILE: &str = r#"{"version":"2.0","service":"user-management","approval_data":"DATA","signatures":[{"username":"bea","role":"admin","signature":"SIGNATURE"}]}"#;

fn valid() -> Vec<u8> {
    // The base64 of 80 bytes and of 256.
    let data = "A".repeat(106) + "A=";
    let signature = "A".repeat(342) + "==";
    FILE.replace("DATA", &data).replace("SIGNATURE", &signature).into_bytes()
}

/// The target.
pub fn run(data: &[u8]) {
    for bytes in [data.to_vec(), raw_or_edited(&valid(), data)] {
        if let Some((approval_data, signatures)) = strongroom_cli::read_token_file(&bytes) {
            assert_eq!(approval_data.len(), 80);
            assert!(signatures <= 16);
        }
    }
}

/// To begin with: files as they are documented, whole and changed.
pub fn seeds() -> Vec<Vec<u8>> {
    let challenge = br#"{"version":"2.0","tokens":[{"unsigned":"AAAA","signed":""}]}"#;
    let mut seeds = vec![valid(), challenge.to_vec()];
    seeds.extend(edits(&[]));
    seeds
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seed_is_a_token_file() {
        assert_eq!(strongroom_cli::read_token_file(&super::valid()), Some((vec![0; 80], 1)));
    }
}
