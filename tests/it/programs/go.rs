//! Go with miekg/pkcs11 and crypto11: `tests/programs/go`, as `cargo xtask test` builds it.

use super::{Cluster, Story, made_for_programs};

const PROGRAM: &str = "go-keys";

#[test]
fn go_signs_decrypts_and_encrypts() {
    let Some(story) = Story::new("go", Cluster::Fips, &[PROGRAM, "openssl"]) else { return };
    let program = made_for_programs().join(PROGRAM);
    let said = story.sh(&format!("TOKEN=hsm1 '{}' .", program.display())).stdout;
    assert_eq!(said, "miekg/pkcs11: RSA, by the token as well\ncrypto11: ECDSA, RSA, PSS, OAEP, AES-GCM\n");
    for name in ["go-ec", "go-rsa"] {
        let verify = format!("openssl dgst -sha256 -verify {name}.pub -signature {name}.sig message");
        assert!(story.sh(&verify).stdout.contains("Verified OK"), "{name}");
    }
}
