//! The measurements behind `cargo xtask bench`.
//!
//! Every line on standard output is one JSON object; what is compared is measured in the same run, in alternating
//! rounds, and given as medians. Progress goes to standard error.

mod handshakes;
mod load;
mod pkcs11;
mod report;
mod scale;
mod shell;
mod signatures;
mod start;
mod store;
mod takeover;

use clap::{Parser, ValueEnum};

/// Measures Strongroom beside its physical limits; one JSON object a line.
#[derive(Parser)]
#[command(name = "cargo xtask bench --")]
struct Arguments {
    /// What to measure; everything unless given
    #[arg(value_enum)]
    what: Vec<What>,
    /// Rounds of each kind; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one round
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// A measurement that needs an environment of its own, in a process of its own
    #[arg(long, value_enum, hide = true)]
    inner: Option<pkcs11::Inner>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Full HTTPS handshakes a second: nginx with the key in the HSMs, and with the same kind of key in a file
    Handshakes,
    /// Signatures a second through the client engine, and by AWS-LC in process
    Signatures,
    /// From `strongroom up` to serving, and the memory of an idle HSM
    Start,
    /// The PKCS #11 library beside SoftHSM2 in process, and what its callers see of an HSM's end
    Pkcs11,
    /// All of the following
    Store,
    /// Durable creations of keys a second, beside the disk's own rate
    Creations,
    /// Deletions, which every HSM must have applied before they are answered
    Deletions,
    /// How soon writes go on after a `kill -9` of the HSM that writes
    Takeover,
    /// A full house of keys: the time to start with them, the memory they take, how soon one is found and the shell lists them
    House,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let wanted = |what| arguments.what.is_empty() || arguments.what.contains(&what);
    let rounds = load::Rounds { count: arguments.rounds, seconds: arguments.seconds };
    if let Some(inner) = arguments.inner {
        return pkcs11::measure_inner(inner, &rounds);
    }
    if wanted(What::Start) {
        start::measure(&rounds)?;
    }
    if wanted(What::Signatures) {
        signatures::measure(&rounds)?;
    }
    if wanted(What::Pkcs11) {
        pkcs11::measure(&rounds)?;
    }
    let of_store = |what| wanted(What::Store) || wanted(what);
    if of_store(What::Creations) {
        store::creations(&rounds)?;
    }
    if of_store(What::Deletions) {
        store::deletions(&rounds)?;
    }
    if of_store(What::Takeover) {
        takeover::measure(&rounds)?;
    }
    if of_store(What::House) {
        scale::measure(&rounds)?;
    }
    if wanted(What::Handshakes) {
        handshakes::measure(&rounds)?;
    }
    Ok(())
}
