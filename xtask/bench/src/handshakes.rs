//! Full HTTPS handshakes a second of a stock nginx: the key in the HSMs, and the same kind of key in a file.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use strongroom_tests::{Nginx, SiteKey, World};

use crate::load::{Round, Rounds, medians};
use crate::report::{line, rounded};

/// Clients at once.
const CLIENTS: usize = 8;

/// Measures RSA-2048 and P-256, TLS 1.3, no resumption.
pub fn measure(rounds: &Rounds) -> anyhow::Result<()> {
    let world = World::with(&[]);
    authority(&world)?;
    world.rsa_pair("bench-rsa");
    world.ec_pair("bench-ec", "prime256v1");
    let kinds = [("RSA-2048", "bench-rsa", "rsa"), ("P-256", "bench-ec", "ec")];
    for (kind, label, file) in kinds {
        world.reference_pem(label, &world.file(&format!("{file}.hsm.key")));
        let software = world.name(&format!("{file}.file.key"));
        let pkeyopt = if file == "rsa" { "rsa_keygen_bits:2048" } else { "ec_paramgen_curve:prime256v1" };
        world.plain_openssl(&["genpkey", "-algorithm", file, "-pkeyopt", pkeyopt, "-out", &software]).ok();
        certificate(&world, &format!("{file}.hsm"), true);
        certificate(&world, &format!("{file}.file"), false);
        compare(&world, rounds, kind, file)?;
    }
    Ok(())
}

/// A CA of the bench's own; what it issues is no CA's certificate, as clients want it of a server.
fn authority(world: &World) -> anyhow::Result<()> {
    let (key, certificate) = (world.name("ca.key"), world.name("ca.crt"));
    let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let rest = ["-keyout", &key, "-out", &certificate, "-subj", "/CN=Bench CA", "-days", "30"];
    world.plain_openssl(&[&request[..], &rest].concat()).ok();
    fs::write(world.file("names.cnf"), "subjectAltName = DNS:localhost\n").context("cannot write names.cnf")
}

fn certificate(world: &World, name: &str, engine: bool) {
    let [key, request, certificate] = ["key", "csr", "crt"].map(|ending| world.name(&format!("{name}.{ending}")));
    let new = ["req", "-new", "-key", &key, "-subj", "/CN=localhost", "-out", &request];
    if engine {
        world.openssl(&[&new[..], &["-engine", "cloudhsm"]].concat()).ok();
    } else {
        world.plain_openssl(&new).ok();
    }
    let sign = ["x509", "-req", "-in", &request, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30"];
    world.plain_openssl(&[&sign[..], &["-extfile", "names.cnf", "-out", &certificate]].concat()).ok();
}

fn compare(world: &World, rounds: &Rounds, kind: &str, file: &str) -> anyhow::Result<()> {
    let path = |name: &str| world.file(&format!("{file}.{name}"));
    let hsm = Nginx::start(world, SiteKey::Hsm, &[(&path("hsm.crt"), &path("hsm.key"))]);
    let soft = Nginx::start(world, SiteKey::File, &[(&path("file.crt"), &path("file.key"))]);
    let config = client(&fs::read(world.file("ca.crt")).context("the CA's certificate")?)?;
    let round = |rounds: &Rounds, nginx: &Nginx| {
        let (port, config) = (nginx.port(0), &config);
        rounds.one(CLIENTS, |_| move || handshake(port, config).is_ok())
    };
    // Workers log in and caches fill before anything counts.
    let warm = Rounds { count: 1, seconds: 0.5 };
    for nginx in [&hsm, &soft] {
        handshake(nginx.port(0), &config)
            .with_context(|| format!("a handshake fails; nginx says:\n{}", nginx.log()))?;
        round(&warm, nginx);
    }
    let (mut in_hsm, mut in_file) = (Vec::new(), Vec::new());
    for number in 0..rounds.count {
        eprintln!("handshakes: {kind}, round {} of {}", number + 1, rounds.count);
        in_hsm.push(round(rounds, &hsm));
        in_file.push(round(rounds, &soft));
    }
    let (in_hsm, in_file): (Round, Round) = (medians(&in_hsm), medians(&in_file));
    line(&json!({
        "bench": "handshakes", "case": format!("{kind}, TLS 1.3, {CLIENTS} clients, 2 nginx workers"),
        "hsm_per_s": rounded(in_hsm.rate), "file_per_s": rounded(in_file.rate),
        "ratio": rounded(in_hsm.rate / in_file.rate), "aim_ratio_min": if file == "rsa" { Some(0.95) } else { None },
        "hsm_median_us": rounded(in_hsm.median_us), "file_median_us": rounded(in_file.median_us),
        "failures": in_hsm.failures + in_file.failures,
    }));
    Ok(())
}

fn client(certificate: &[u8]) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate).context("the certificate is no PEM")?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let mut config = builder
        .with_protocol_versions(&[&rustls::version::TLS13])
        .context("TLS 1.3 is there")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// One connection with one request: what a browser that comes for the first time does.
fn handshake(port: u16, config: &Arc<ClientConfig>) -> anyhow::Result<()> {
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").context("a name")?;
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), name)?, socket);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::with_capacity(1024);
    stream.read_to_end(&mut answer)?;
    anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200"), "nginx did not answer 200");
    Ok(())
}
