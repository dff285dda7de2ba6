//! `cargo xtask test`: sets the machine up and passes every test.

use crate::artifacts::{self, Profile};
use crate::packages::{self, BINUTILS, CURL, CXX, IPROUTE, JQ, NGINX, OPENSSL, OPENSSL_HEADERS, STRACE, XXD};
use crate::run::Step;
use crate::{fuzz, programs, sanitize, tidy};

/// What to test.
#[derive(clap::Args)]
pub struct Arguments {
    /// Also what takes longer, with AddressSanitizer: C programs on the PKCS #11 library, the fuzz targets under libFuzzer
    #[arg(long)]
    all: bool,
    /// Passed on to the tests: a filter, for example
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    packages::install(&[NGINX, CURL, OPENSSL, OPENSSL_HEADERS, BINUTILS, STRACE, IPROUTE, CXX, JQ, XXD])?;
    programs::set_up()?;
    tidy::run()?;
    // The end-to-end tests start the real programs, which cargo builds for no test by itself.
    artifacts::build(Profile::Debug)?;
    Step::cargo(["test", "--workspace", "--all-targets", "--no-fail-fast"]).args(["--"]).args(&arguments.rest).run()?;
    if arguments.all {
        sanitize::run()?;
        fuzz::smoke()?;
    }
    Ok(())
}
