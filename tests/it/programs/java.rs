//! SunPKCS11: `keytool`, `jarsigner`, a TLS server.

use std::fs;
use std::time::Duration;

use strongroom_tests::{Page, Tls, get, wait_for};

use super::{Cluster, Story};

const PAGE: Page = Page(include_str!("../../../docs/operating/pkcs11/java.md"));
const SERVER: &str = include_str!("../../programs/java/TlsServer.java");

#[test]
fn java_makes_keys_signs_jars_and_serves_tls_without_seeing_a_private_value() {
    let Some(story) = Story::new("java", Cluster::Fips, &["keytool", "jarsigner", "java", "openssl"]) else { return };
    let said = story.walk(PAGE, "A key with a certificate").stdout;
    for alias in ["site", "signer"] {
        assert!(said.contains(&format!("{alias}, PrivateKeyEntry")), "{said}");
    }
    story.sh("openssl verify -CAfile site.crt site.crt && openssl verify -CAfile signer.crt signer.crt");
    // Both pairs are in the HSMs for good, made there, and neither can leave.
    for (alias, kind) in [("site", "ec"), ("signer", "rsa")] {
        let mut cli = story.world.bare_cli(&["key", "list", "--verbose", "--filter", "attr.class=private-key"]);
        cli.args([format!("attr.key-type={kind}")])
            .env("CLOUDHSM_ROLE", "crypto-user")
            .env("CLOUDHSM_PIN", story.pin());
        let found = strongroom_tests::run(&mut cli).ok().json()["data"]["matched_keys"].clone();
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{alias}: {found}");
        let attributes = &found[0]["attributes"];
        for (name, wanted) in [("local", true), ("token", true), ("extractable", false), ("never-extractable", true)] {
            assert_eq!(attributes[name], wanted, "{alias}, {name}: {attributes}");
        }
    }

    story.sh("mkdir content && echo hello > content/hello.txt && jar --create --file plain.jar -C content hello.txt");
    story.walk(PAGE, "Signing a jar");
    // Whoever trusts the certificate, and it alone.
    let verify = "keytool -importcert -noprompt -alias signer -file signer.crt -keystore trust.p12 -storepass secret\n\
                  jarsigner -verify -strict -verbose -keystore trust.p12 -storepass secret signed.jar signer";
    let said = story.sh(verify).stdout;
    assert!(said.contains("jar verified.") && said.contains("SHA256withRSA, 2048-bit key"), "{said}");
    let altered = "cp signed.jar altered.jar && echo bye > content/hello.txt && jar --update --file altered.jar -C content hello.txt\n\
                   jarsigner -verify -strict -keystore trust.p12 -storepass secret altered.jar signer || echo refused";
    assert!(story.sh(altered).stdout.ends_with("refused\n"));

    story.write("TlsServer.java", SERVER.as_bytes());
    let mut server = story.server(&format!("exec {}", PAGE.commands("A TLS server").trim()));
    let mut port = None;
    wait_for("the server in Java to listen", Duration::from_secs(60), || {
        server.assert_runs();
        port = server.said().lines().find_map(|line| line.parse().ok());
        port.is_some()
    });
    for tls in [Tls::V12, Tls::V13] {
        let page = get(port.expect("it was waited for"), &story.file("site.crt"), tls);
        assert_eq!((page.code, page.stdout.as_str()), (Some(0), "hello from Java\n"), "{page:?}\n{}", server.said());
    }
}

#[test]
fn no_private_value_comes_in_from_java() {
    let spy = "/usr/lib/*/pkcs11-spy.so";
    // Certificates are everybody's: the two stories would share what they call `site`.
    let Some(story) = Story::new("java-spied", Cluster::NonFips, &["keytool", "pkcs11-tool"]) else { return };
    let spy = story.sh(&format!("echo {spy}")).stdout.trim().to_owned();
    let library = story.sh("echo \"$MODULE\"").stdout.trim().to_owned();
    let log = story.file("spied");
    let story = story.with("MODULE", &spy).with("PKCS11SPY", &library);
    let story = story.with("PKCS11SPY_OUTPUT", log.to_str().expect("temporary paths are text"));
    story.walk(PAGE, "A key with a certificate");
    let spied = fs::read_to_string(&log).expect("the spy wrote its log");
    assert!(spied.contains("C_GenerateKeyPair") && spied.contains("C_CopyObject"), "{spied}");
    let created: Vec<&str> = spied.split("C_CreateObject\n").skip(1).collect();
    assert!(!created.is_empty(), "certificates are created");
    for call in created {
        let given = call.split("[out]").next().unwrap_or_default();
        let is_public = ["CKO_CERTIFICATE", "CKO_PUBLIC_KEY"].iter().any(|class| given.contains(class));
        assert!(is_public && !given.contains("CKA_PRIVATE_EXPONENT"), "{given}");
    }
    assert!(!spied.contains("C_UnwrapKey") && !spied.contains("C_WrapKey"), "{spied}");
}
