//! `p11tool` and `certtool`.

use strongroom_tests::Page;

use super::{Cluster, Story};

const PAGE: Page = Page(include_str!("../../../docs/operating/pkcs11/gnutls.md"));

#[test]
fn gnutls_makes_keys_a_ca_a_request_and_a_certificate() {
    let Some(story) = Story::new("gnutls", Cluster::Fips, &["p11tool", "certtool", "openssl"]) else { return };
    let said = story.walk(PAGE, "Keys").stdout;
    // Between the two lists stands what `cloudhsm-cli` said, in JSON.
    let (before, after) = (said.split('{').next().unwrap_or_default(), said.rsplit('}').next().unwrap_or_default());
    for object in ["object=issuer;type=private", "object=issuer;type=public", "object=shop;type=private"] {
        assert_eq!(before.matches(object).count(), 1, "{object}: {said}");
    }
    assert_eq!(before.matches("CKA_EXTRACTABLE").count(), 2, "{said}");
    assert!(after.matches("CKA_SENSITIVE").count() == 2 && !after.contains("CKA_EXTRACTABLE"), "{said}");
    story.sh("cmp issuer.pub exported.pub");
    story.walk(PAGE, "A CA whose key lies in the HSMs");
    story.walk(PAGE, "A request, and a certificate for it");
    let checks = "openssl verify -CAfile ca.crt -x509_strict ca.crt shop.crt\n\
                  openssl req -in shop.csr -verify -noout 2>&1\n\
                  openssl x509 -in shop.crt -noout -checkhost localhost -pubkey > of-certificate; tail -n +1 of-certificate\n\
                  openssl x509 -in ca.crt -noout -pubkey | cmp - issuer.pub";
    let said = story.sh(checks).stdout;
    assert!(said.contains("ca.crt: OK") && said.contains("shop.crt: OK"), "{said}");
    assert!(said.contains("self-signature verify OK") && said.contains("does match certificate"), "{said}");
    let said = story.walk(PAGE, "The certificate beside the key").stdout;
    assert!(said.contains("object=shop;type=cert") && said.contains("X.509 Certificate (RSA-2048)"), "{said}");
    let same = "p11tool --provider \"$MODULE\" --batch --export \"pkcs11:token=hsm1;object=shop;type=cert\" --outfile back.crt\n\
                openssl x509 -in back.crt -out back.pem && openssl x509 -in shop.crt | cmp - back.pem";
    story.sh(same);
}
