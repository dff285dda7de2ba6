//! `pkcs11-tool`.

use std::fs;

use strongroom_tests::Page;

use super::{Cluster, Story};

const PAGE: Page = Page(include_str!("../../../docs/operating/pkcs11/opensc.md"));
const PROGRAMS: [&str; 2] = ["pkcs11-tool", "openssl"];
const DATA: &[u8] = b"what is signed and what is encrypted";

#[test]
fn pkcs11_tool_looks_makes_keys_signs_and_decrypts() {
    let Some(story) = Story::new("opensc", Cluster::Fips, &PROGRAMS) else { return };
    story.write("data", DATA);
    let empty = story.walk(PAGE, "Look").stdout;
    assert!(empty.contains("Slot 0 (0x2000000000000001)") && empty.contains("token label        : hsm1"), "{empty}");
    for mechanism in ["SHA256-RSA-PKCS", "ECDSA-KEY-PAIR-GEN", "AES-GCM", "ECDH1-DERIVE"] {
        assert!(empty.contains(mechanism), "{mechanism}: {empty}");
    }
    // Other users' public keys are nobody's secret.
    assert!(!empty.contains("Private Key Object") && !empty.contains("Secret Key Object"), "{empty}");
    story.walk(PAGE, "Keys");
    let full = story.walk(PAGE, "Look").stdout;
    let objects = ["Private Key Object; RSA", "Private Key Object; EC", "Secret Key Object; AES length 32"];
    for (object, label) in objects.into_iter().zip(["invoices", "orders", "archive"]) {
        assert_eq!(full.matches(object).count(), 1, "{object}: {full}");
        let of_label = if label == "archive" { 1 } else { 2 };
        assert_eq!(full.matches(&format!("label:      {label}\n")).count(), of_label, "{label}: {full}");
    }
    let unseen = story.sh("pkcs11-tool --module \"$MODULE\" --list-objects").stdout;
    assert!(!unseen.contains("Key Object;"), "keys are listed without a login: {unseen}");

    assert!(story.walk(PAGE, "What a program asks for").stdout.contains("C_FindObjectsInit"));
    let calls = fs::read_to_string(story.file("calls.log")).expect("the spy wrote");
    assert!(calls.contains("C_Login") && !calls.contains("CKR_FUNCTION_NOT_SUPPORTED"), "{calls}");

    let said = story.walk(PAGE, "Sign").stdout;
    assert_eq!(said.matches("Verified OK").count(), 2, "{said}");
    story.walk(PAGE, "Encrypt and decrypt");
    for (decrypted, encrypted) in [("decrypted", "encrypted"), ("data.back", "data.aes")] {
        assert_eq!(fs::read(story.file(decrypted)).expect("it was decrypted"), DATA);
        assert_ne!(fs::read(story.file(encrypted)).expect("it was encrypted"), DATA);
    }
    // A signature of something else is none.
    story.write("data", b"something else");
    let wrong = "openssl dgst -sha256 -verify rsa.pem -signature rsa.sig data || echo refused";
    assert!(story.sh(wrong).stdout.contains("refused"));
}

#[test]
fn pkcs11_tool_derives_what_openssl_derives_and_its_own_tests_pass() {
    let Some(story) = Story::new("opensc-ecdh", Cluster::NonFips, &PROGRAMS) else { return };
    let openssl = "openssl ecparam -name prime256v1 -genkey -noout -out peer.key\n\
                   openssl pkey -in peer.key -pubout -outform DER -out peer.der";
    story.sh(openssl);
    story.walk(PAGE, "Keys");
    story.walk(PAGE, "ECDH");
    let own = "CLOUDHSM_ROLE=crypto-user CLOUDHSM_PIN=$PIN cloudhsm-cli key generate-file --encoding pem --path own.pem \
               --filter attr.label=orders attr.class=public-key";
    story.sh(own);
    story.sh("openssl pkeyutl -derive -inkey peer.key -peerkey own.pem -out theirs");
    let secret = fs::read(story.file("secret")).expect("the secret was written");
    assert_eq!(secret.len(), 32);
    assert_eq!(secret, fs::read(story.file("theirs")).expect("openssl's secret was written"));

    // They sign with SHA-1, as this cluster does.
    let ran = story.walk(PAGE, "Its own tests");
    let said = ran.stdout + &ran.stderr;
    assert!(said.contains("No errors") && !said.contains("FAILED"), "{said}");
    for passed in ["seems to be OK", "all 4 digest functions seem to work", "RSA-X-509: OK", "RSA-PKCS: OK", "==> OK"] {
        assert!(said.contains(passed), "{passed}: {said}");
    }
    assert!(said.contains("all threads have ended with CKR_OK"), "{said}");
    // `--test-ec` gives its pair another id, and deletes it.
    let left = story.sh("pkcs11-tool --module \"$MODULE\" --login --pin env:PIN --list-objects").stdout;
    assert!(!left.contains("6162636465666768696a6b6c6d6e6f7071727374") && !left.contains("testec"), "{left}");
}
