//! Configuration and credentials that can't be used: hosts that ask are told at the start, the others at each use.

use std::fs;

use crate::host::{Host, assert_empty, run};

#[track_caller]
fn refused(host: &Host, expected: &str) {
    let said = host.openssl(&["engine", "-t", "cloudhsm"]).ok();
    assert!(said.contains("[ unavailable ]") && said.contains(expected), "{said}");
    // No key of OpenSSL's own instead.
    let said = host.openssl(&["genrsa", "-engine", "cloudhsm", "-out", "never.key", "2048"]).failed();
    assert!(said.contains("Cannot use engine") && said.contains(expected), "{said}");
    assert_empty(&host.path("never.key"));
    host.reference("rsa", "reference.key");
    let said = host.openssl(&host.sign("reference.key", &[])).failed();
    assert!(said.contains("CloudHSM engine::the engine's configuration cannot be used"), "{said}");
    host.nothing_signed();
    host.real_key("rsa", "real.key");
    host.openssl(&host.sign("real.key", &[])).ok();
    host.verified("real.key", &[]);
}

#[test]
fn a_missing_configuration_is_named() {
    let host = Host::new();
    let file = host.path("home/etc/cloudhsm-dyn.cfg");
    fs::remove_file(&file).unwrap();
    refused(&host, file.to_str().unwrap());
}

#[test]
fn a_damaged_configuration_is_named() {
    let host = Host::new();
    let file = host.path("home/etc/cloudhsm-dyn.cfg");
    fs::write(&file, "{ \"clusters\": [").unwrap();
    refused(&host, file.to_str().unwrap());
}

#[test]
fn a_ca_that_is_none_is_named() {
    let host = Host::new();
    let file = host.path("home/etc/customerCA.crt");
    fs::write(&file, "no certificate").unwrap();
    refused(&host, file.to_str().unwrap());
    fs::remove_file(&file).unwrap();
    refused(&host, file.to_str().unwrap());
}

#[test]
fn a_pin_of_the_wrong_form_is_told_without_showing_it() {
    let host = Host::new();
    host.reference("prime256v1", "reference.key");
    for arguments in [vec!["engine", "-t", "cloudhsm"], host.sign("reference.key", &[])] {
        let ran = run(host.with_engine(&arguments).env("CLOUDHSM_PIN", "hush-hush"));
        assert!(ran.said.contains("CLOUDHSM_PIN is not of the form <user>:<password>"), "{}", ran.said);
        assert!(!ran.said.contains("hush"), "{}", ran.said);
    }
    host.nothing_signed();
}

#[test]
fn a_missing_pin_is_told_and_stops_only_keys_in_the_hsms() {
    let host = Host::new();
    host.reference("prime256v1", "reference.key");
    let said = run(host.with_engine(&host.sign("reference.key", &[])).env_remove("CLOUDHSM_PIN")).failed();
    assert!(said.contains("CloudHSM engine::CLOUDHSM_PIN is not set"), "{said}");
    host.nothing_signed();
    let genrsa = ["genrsa", "-engine", "cloudhsm", "-out", "never.key", "2048"];
    let said = run(host.with_engine(&genrsa).env_remove("CLOUDHSM_PIN")).failed();
    assert!(said.contains("CLOUDHSM_PIN is not set"), "{said}");
    assert_empty(&host.path("never.key"));
    host.real_key("rsa", "real.key");
    let said = run(host.with_engine(&host.sign("real.key", &[])).env_remove("CLOUDHSM_PIN")).ok();
    assert!(said.contains("WARN") && said.contains("CLOUDHSM_PIN is not set"), "{said}");
    host.verified("real.key", &[]);
}

#[test]
fn the_older_variable_is_heard() {
    let host = Host::new();
    host.reference("prime256v1", "reference.key");
    let mut sign = host.with_engine(&host.sign("reference.key", &[]));
    let said = run(sign.env_remove("CLOUDHSM_PIN").env("n3fips_password", "crypto_user:a-password")).failed();
    // Credentials are there: it went on to the HSMs.
    assert!(said.contains("no HSM of the cluster answers"), "{said}");
}
