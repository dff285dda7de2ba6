//! The key is nowhere but in the HSM processes.

use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use strongroom_tests::{Nginx, Primes, SiteKey, Tls, World, get, process_memory};

use crate::https::two_sites;

/// The modulus of a certificate's or a key file's RSA key.
fn modulus(world: &World, kind: &str, file: &str) -> Vec<u8> {
    let said = world.plain_openssl(&[kind, "-noout", "-modulus", "-in", &world.name(file)]).ok().stdout;
    let hex = said.trim().strip_prefix("Modulus=").unwrap_or_else(|| panic!("no modulus: {said}"));
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
    bytes.collect::<Result<_, _>>().expect("a modulus is printed in hex")
}

/// In how many regions of nginx's processes a prime of the key begins. Code that processes share is read once.
fn found_in(nginx: &Nginx, primes: &Primes) -> (usize, usize) {
    let (mut found, mut read, mut seen) = (0, 0, HashSet::new());
    for pid in nginx.pids() {
        for region in process_memory(pid).expect("a test may read the memory of the processes it started") {
            let mut hasher = DefaultHasher::new();
            region.hash(&mut hasher);
            if seen.insert(hasher.finish()) {
                found += usize::from(!primes.find(&region).is_empty());
                read += region.len();
            }
        }
    }
    (found, read)
}

#[test]
fn no_prime_of_the_key_is_in_a_file_a_log_or_the_memory_of_nginx() {
    let world = World::new();
    let [rsa, ec] = two_sites(&world);
    let nginx = Nginx::start(&world, SiteKey::Hsm, &[(&rsa.0, &rsa.1), (&ec.0, &ec.1)]);
    for tls in [Tls::V12, Tls::V13] {
        get(nginx.port(0), &rsa.0, tls).ok();
    }
    world.data(&["key", "list", "--verbose"]);
    let primes = Primes::of(&modulus(&world, "x509", "rsa.crt"));
    assert_eq!(nginx.pids().len(), 3, "a master and two workers");
    let (found, read) = found_in(&nginx, &primes);
    assert_eq!(found, 0, "a prime of the key is in nginx's memory");
    assert!(read > 1 << 20, "only {read} bytes of nginx's memory were read");
    // The state folder and everything the test itself made: keys, requests, nginx's logs.
    let files = primes.assert_not_below(&world.file(""));
    assert!(files > 20, "only {files} files were read");
    assert!(world.state().join("store/cluster.sqlite").is_file());
}

#[test]
fn the_search_finds_a_key_that_is_there() {
    let world = World::shared();
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"];
    let names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "soft.key", "-out", "soft.crt"];
    world.plain_openssl(&[&request[..], &names].concat()).ok();
    let (certificate, key) = (world.file("soft.crt"), world.file("soft.key"));
    let primes = Primes::of(&modulus(&world, "x509", "soft.crt"));
    let nginx = Nginx::start(&world, SiteKey::File, &[(&certificate, &key)]);
    get(nginx.port(0), &certificate, Tls::V13).ok();
    assert!(found_in(&nginx, &primes).0 > 0, "the search must find the primes of a key that nginx holds itself");
    let der = world.name("soft.der");
    world.plain_openssl(&["rsa", "-in", &world.name("soft.key"), "-outform", "DER", "-out", &der]).ok();
    let bytes = fs::read(&der).expect("the DER of the key");
    assert_eq!(primes.find(&bytes).len(), 2, "p and q in the key's own file");
}
