//! The first page: `pkcs11-tool`, and a C program linked to the library.

use strongroom_tests::Page;

use super::{Cluster, Story};

const PAGE: Page = Page(include_str!("../../../docs/operating/pkcs11/first-signature.md"));

#[test]
fn two_minutes_lead_to_a_first_signature() {
    let Some(story) = Story::new("first", Cluster::Fips, &["pkcs11-tool", "openssl", "cc"]) else { return };
    let pin = story.pin();
    let story = story.with("CLOUDHSM_PIN", &pin);
    assert!(story.walk(PAGE, "With pkcs11-tool").stdout.ends_with("Verified OK\n"));
    assert_eq!(story.walk(PAGE, "With a program of your own").stdout, "64 bytes, by 1 key\n");
}
