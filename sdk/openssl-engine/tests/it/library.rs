//! What the shared library shows to the world, and what it needs of it.

use std::fs;

use crate::host::{Host, library, run};

#[test]
fn openssl_knows_the_engine_by_id_and_name() {
    let host = Host::new();
    let output = host.with_engine(&["engine", "-t", "cloudhsm"]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "(cloudhsm) CloudHSM OpenSSL Engine\n     [ available ]\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn it_exports_two_names_and_links_to_no_libcrypto() {
    let host = Host::new();
    let file = library();
    let names = |which: &str| -> Vec<String> {
        let said = run(host.command("nm", &["--dynamic", which]).arg(&file)).ok();
        let mut names: Vec<_> =
            said.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names("--defined-only"), ["bind_engine", "v_check"]);
    // Four hooks that AWS-LC leaves weak, for programs that bring their own memory.
    let hooks = ["alloc", "free", "get_size", "realloc"].map(|name| format!("OPENSSL_memory_{name}"));
    let prefixes = ["BIO_", "BN_", "CRYPTO_", "EC_", "ECDSA_", "ENGINE_", "ERR_", "EVP_", "OPENSSL_", "RSA_", "SSL_"];
    let openssl: Vec<_> = names("--undefined-only")
        .into_iter()
        .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    assert_eq!(openssl, hooks);
    let dynamic = run(host.command("objdump", &["-p"]).arg(&file)).ok();
    let needed: Vec<_> = dynamic.lines().filter_map(|line| line.trim().strip_prefix("NEEDED")).map(str::trim).collect();
    assert!(needed.contains(&"libc.so.6"), "{needed:?}");
    let known = ["libc.so.", "libgcc_s.so.", "ld-linux"];
    assert!(needed.iter().all(|name| known.iter().any(|known| name.starts_with(known))), "{needed:?}");
    let dynamic = run(host.command("readelf", &["-d"]).arg(&file)).ok();
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
    // A process that ends, which may be a forked child, runs nothing of the library's.
    assert!(!dynamic.contains("FINI_ARRAY"), "{dynamic}");
}

#[test]
fn another_id_is_refused() {
    let host = Host::new();
    fs::rename(host.path("engines/cloudhsm.so"), host.path("engines/other.so")).unwrap();
    host.openssl(&["engine", "-t", "other"]).failed();
}

#[test]
fn the_engine_can_come_from_a_configuration_file() {
    let host = Host::new();
    host.real_key("rsa", "real.key");
    let configuration = format!(
        "openssl_conf = all\n[all]\nengines = engines\n[engines]\nhsm = hsm\n[hsm]\nengine_id = cloudhsm\n\
         dynamic_path = {}\ndefault_algorithms = RSA,EC\ninit = 1\n",
        library().display()
    );
    fs::write(host.path("openssl.cnf"), configuration).unwrap();
    host.reference("rsa", "reference.key");
    let sign = |key| {
        let arguments = ["dgst", "-sha256", "-sign", key, "-out", "signature", "data"];
        run(host.with_engine(&arguments).env("OPENSSL_CONF", host.path("openssl.cnf")))
    };
    sign("real.key").ok();
    host.verified("real.key", &[]);
    let said = sign("reference.key").failed();
    assert!(said.contains("CloudHSM engine::no HSM of the cluster answers"), "{said}");
}
