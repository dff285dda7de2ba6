//! A stock nginx whose private keys live in the HSMs, with curl and `openssl s_client` as its clients.

use std::path::PathBuf;
use std::process::Command;

use strongroom_tests::{Nginx, SiteKey, Tls, World, get, run_with_input};

/// A certificate for `localhost`, signed through the engine by the key itself.
pub(crate) fn self_signed(world: &World, name: &str) -> PathBuf {
    let (key, certificate) = (world.name(&format!("{name}.key")), world.name(&format!("{name}.crt")));
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "30"];
    let request = ["req", "-engine", "cloudhsm", "-x509", "-new", "-key", &key, "-out", &certificate];
    world.openssl(&[&request[..], &subject].concat()).ok();
    world.file(&format!("{name}.crt"))
}

/// An RSA-2048 and a P-256 site: their key files, and then their certificates.
pub(crate) fn two_sites(world: &World) -> [(PathBuf, PathBuf); 2] {
    world.rsa_pair("site-rsa");
    world.ec_pair("site-ec", "prime256v1");
    ["rsa", "ec"].map(|kind| {
        world.reference_pem(&format!("site-{kind}"), &world.file(&format!("{kind}.key")));
        (self_signed(world, kind), world.file(&format!("{kind}.key")))
    })
}

/// One handshake by `openssl s_client`; what it printed.
fn s_client(world: &World, port: u16, site: &str, tls: Tls) -> String {
    let version = if tls == Tls::V12 { "-tls1_2" } else { "-tls1_3" };
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &format!("localhost:{port}"), version, "-verify_return_error"]);
    command.args(["-verify_hostname", "localhost", "-CAfile", &world.name(&format!("{site}.crt"))]);
    run_with_input(&mut command, "").ok().stdout
}

#[test]
fn nginx_serves_with_rsa_and_ec_keys_over_both_versions_of_tls() {
    let world = World::new();
    let [rsa, ec] = two_sites(&world);
    let nginx = Nginx::start(&world, SiteKey::Hsm, &[(&rsa.0, &rsa.1), (&ec.0, &ec.1)]);
    let signatures = || -> u64 {
        let status = world.status();
        status["hsms"].as_array().expect("a list").iter().filter_map(|hsm| hsm["signatures"].as_u64()).sum()
    };
    for (site, name, digest) in [(0, "rsa", "RSA"), (1, "ec", "ECDSA")] {
        for tls in [Tls::V12, Tls::V13] {
            let before = signatures();
            let page = get(nginx.port(site), &world.file(&format!("{name}.crt")), tls);
            assert_eq!(page.code, Some(0), "{page:?}\n{}", nginx.log());
            assert_eq!(page.stdout, "hello from nginx\n");
            assert_eq!(signatures() - before, 1, "one handshake is one signature");
            let said = s_client(&world, nginx.port(site), name, tls);
            assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
            assert!(said.contains("Peer signature type") && said.contains(digest), "{said}");
            assert!(said.contains(if tls == Tls::V12 { "TLSv1.2" } else { "TLSv1.3" }), "{said}");
        }
    }
}

#[test]
fn nginx_takes_part_in_rsa_key_exchange() {
    let world = World::new();
    world.opening_pair("exchange");
    world.reference_pem("exchange", &world.file("exchange.key"));
    let certificate = self_signed(&world, "exchange");
    let nginx = Nginx::start(&world, SiteKey::Hsm, &[(&certificate, &world.file("exchange.key"))]);
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &format!("localhost:{}", nginx.port(0)), "-tls1_2"]);
    command.args(["-cipher", "AES128-GCM-SHA256", "-verify_return_error", "-CAfile"]).arg(&certificate);
    let said = run_with_input(&mut command, "").ok().stdout;
    assert!(said.contains("Cipher is AES128-GCM-SHA256"), "{said}\n{}", nginx.log());
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
}

#[test]
fn a_site_with_its_key_in_a_file_works_beside() {
    let world = World::new();
    world.ec_pair("in-hsm", "prime256v1");
    world.reference_pem("in-hsm", &world.file("hsm.key"));
    let hsm = self_signed(&world, "hsm");
    let request =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "file.key", "-out", "file.crt", "-days", "30"];
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    world.plain_openssl(&[&request[..], &subject].concat()).ok();
    let (file_crt, file_key) = (world.file("file.crt"), world.file("file.key"));
    let nginx = Nginx::start(&world, SiteKey::Hsm, &[(&hsm, &world.file("hsm.key")), (&file_crt, &file_key)]);
    for (site, ca) in [(0, &hsm), (1, &file_crt)] {
        for tls in [Tls::V12, Tls::V13] {
            let page = get(nginx.port(site), ca, tls);
            assert_eq!(page.code, Some(0), "{page:?}\n{}", nginx.log());
        }
    }
}

#[test]
fn the_certificate_of_an_hsm_is_the_clusters_and_only_its_ca_vouches_for_it() {
    let world = World::shared();
    let other = World::new();
    let check = |ca: &World, trusted: bool| {
        let mut command = Command::new("openssl");
        let address = format!("{}:2223", world.hsm_ips()[0]);
        command
            .args(["s_client", "-connect", &address, "-tls1_3", "-alpn", "strongroom/1", "-CAfile"])
            .arg(ca.customer_ca());
        let said = run_with_input(&mut command, "").stdout;
        assert_eq!(said.contains("Verify return code: 0 (ok)"), trusted, "{said}");
        assert!(said.contains(&format!("HSM:{}:PARTN:1", world.text("/cluster_id"))), "{said}");
    };
    check(&world, true);
    check(&other, false);
}
