//! Signatures a second through the client engine, next to AWS-LC in process on the same cores.

use anyhow::Context;
use serde_json::json;
use strongroom_client::{Client, ClientName, ClusterConfig, Config, PairAlgorithm};
use strongroom_crypto::digest::{digest, digest_info};
use strongroom_crypto_keys::{PrivateKey, generate};
use strongroom_tests::World;
use strongroom_types::{
    AttributeName, AttributeValue, Curve, Flag, HashFunction, KeyReference, Password, Role, Secret, SignMechanism,
    UserName,
};

use crate::load::{Round, Rounds, medians};
use crate::report::{line, rounded};

/// Callers at once.
const CALLERS: [usize; 3] = [1, 8, 32];
/// The callers for which the aims of rates hold, on two cores for clients and HSMs together.
const AIM_CALLERS: usize = 8;
/// P-256 signatures a second.
const AIM_P256_PER_S: u32 = 50_000;
/// Of AWS-LC's own rate.
const AIM_RSA_RATIO: f64 = 0.9;
/// Median of one caller's P-256 signature.
const AIM_P256_MEDIAN_US: u32 = 100;

/// One kind of key, in the HSMs and in this process.
struct Kind {
    name: &'static str,
    reference: KeyReference,
    here: PrivateKey,
    mechanism: SignMechanism,
    /// What is signed: a DigestInfo or a digest.
    data: Vec<u8>,
}

/// Measures RSA-2048 and P-256.
pub fn measure(rounds: &Rounds) -> anyhow::Result<()> {
    let world = World::with(&[]);
    let client = log_in(&world)?;
    let message = digest(HashFunction::Sha256, b"a message");
    let rsa = generate::rsa(2048, &[1, 0, 1]).context("an RSA key")?;
    let ec = generate::ec(Curve::P256).context("a P-256 key")?;
    let kinds = [
        Kind {
            name: "RSA-2048",
            reference: pair(&client, &PairAlgorithm::Rsa { modulus_bits: 2048, public_exponent: vec![1, 0, 1] })?,
            here: PrivateKey::from_pkcs8(&rsa.pkcs8).context("an RSA key")?,
            mechanism: SignMechanism::RsaPkcs,
            data: digest_info(HashFunction::Sha256, &message),
        },
        Kind {
            name: "P-256",
            reference: pair(&client, &PairAlgorithm::Ec(Curve::P256))?,
            here: PrivateKey::from_pkcs8(&ec.pkcs8).context("a P-256 key")?,
            mechanism: SignMechanism::Ecdsa,
            data: message,
        },
    ];
    for kind in &kinds {
        for callers in CALLERS {
            compare(&client, kind, callers, rounds);
        }
    }
    Ok(())
}

/// A client that is logged in as the crypto user.
pub fn log_in(world: &World) -> anyhow::Result<Client> {
    let config = Config::read(&world.home().join("etc/cloudhsm-cli.cfg")).context("the configuration")?;
    let cluster = ClusterConfig::select(&config, None).context("the cluster")?;
    let client = Client::open(cluster.clone(), ClientName::new("bench")).context("the client")?;
    let name: UserName = world.text("/crypto_user/username").parse().context("the user's name")?;
    let password = Password::for_login(Secret::from(world.text("/crypto_user/password").as_bytes()));
    client.login(&name, Role::CryptoUser, &password).context("the login")?;
    Ok(client)
}

/// The private key of a new pair.
fn pair(client: &Client, algorithm: &PairAlgorithm) -> anyhow::Result<KeyReference> {
    let may = |flag| vec![(AttributeName::Flag(flag), AttributeValue::Bool(true))];
    let (_, private) =
        client.key_generate_pair(algorithm, &may(Flag::Verify), &may(Flag::Sign), &[]).context("a pair")?;
    Ok(private.reference)
}

fn compare(client: &Client, kind: &Kind, callers: usize, rounds: &Rounds) {
    let in_hsm =
        |rounds: &Rounds| rounds.one(callers, |_| || client.sign(kind.reference, kind.mechanism, &kind.data).is_ok());
    let in_process = |rounds: &Rounds| rounds.one(callers, |_| || kind.here.sign(kind.mechanism, &kind.data).is_ok());
    // Connections open and caches fill before anything counts.
    let warm = Rounds { count: 1, seconds: 0.5 };
    in_hsm(&warm);
    in_process(&warm);
    let (mut hsm, mut process) = (Vec::new(), Vec::new());
    for number in 0..rounds.count {
        eprintln!("signatures: {}, {callers} callers, round {} of {}", kind.name, number + 1, rounds.count);
        hsm.push(in_hsm(rounds));
        process.push(in_process(rounds));
    }
    let longest_us = hsm.iter().map(|round| round.longest_us).fold(0.0, f64::max);
    let (hsm, process): (Round, Round) = (medians(&hsm), medians(&process));
    let ec = kind.name == "P-256";
    line(&json!({
        "bench": "signatures", "case": format!("{}, {callers} callers", kind.name),
        "hsm_per_s": rounded(hsm.rate), "process_per_s": rounded(process.rate),
        "ratio": rounded(hsm.rate / process.rate),
        "aim_ratio_min": if !ec && callers == AIM_CALLERS { Some(AIM_RSA_RATIO) } else { None },
        "aim_per_s_min": if ec && callers == AIM_CALLERS { Some(AIM_P256_PER_S) } else { None },
        "hsm_median_us": rounded(hsm.median_us), "process_median_us": rounded(process.median_us),
        "aim_median_us_max": if ec && callers == 1 { Some(AIM_P256_MEDIAN_US) } else { None },
        "hsm_longest_us": rounded(longest_us), "failures": hsm.failures + process.failures,
    }));
}
