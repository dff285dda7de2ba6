//! python-pkcs11 and PyKCS11.

use strongroom_tests::Page;

use super::{Cluster, Story};

const PAGE: Page = Page(include_str!("../../../docs/operating/pkcs11/python.md"));
/// The environment that `cargo xtask test` makes with the page's two packages.
const PYTHON: &str = "python/bin/python";

#[test]
fn python_pkcs11_signs_encrypts_and_wraps() {
    let Some(story) = Story::new("python", Cluster::Fips, &[PYTHON, "openssl"]) else { return };
    let said = story.sh(&PAGE.commands("python-pkcs11")).stdout;
    assert_eq!(said, "2 objects are called python\n");
    let verify = "openssl pkey -pubin -inform DER -in python.pub -out python.pem\n\
                  printf data > data && openssl dgst -sha256 -verify python.pem -signature python.sig data";
    assert!(story.sh(verify).stdout.contains("Verified OK"));
}

#[test]
fn pykcs11_signs_encrypts_and_wraps() {
    let Some(story) = Story::new("pykcs11", Cluster::Fips, &[PYTHON]) else { return };
    let said = story.sh(&PAGE.commands("PyKCS11")).stdout;
    assert_eq!(said, "the unwrapped key signs as the wrapped one does\n");
}
