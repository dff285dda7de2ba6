//! `cargo xtask sanitize`: AddressSanitizer in the PKCS #11 library and in the C programs of the end-to-end tests.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::artifacts::{self, Profile};
use crate::packages::{self, BINUTILS};
use crate::run::Step;

/// Tests of C programs that load the library. Those that let valgrind check ask the sanitizer instead.
const TESTS: [&str; 3] = ["compat::a_checker_of_memory", "pkcs11::objects::", "pkcs11::sessions::"];

/// Builds the library with the sanitizer and passes those tests with it.
pub fn run() -> anyhow::Result<()> {
    packages::install(&[BINUTILS])?;
    artifacts::build(Profile::Debug)?;
    let host = host()?;
    let library = library(&host)?;
    let runtime = runtime(&host)?;
    eprintln!("testing the PKCS #11 library with AddressSanitizer …");
    Step::cargo(["test", "--package", "strongroom-tests", "--test", "it", "--"])
        .args(TESTS)
        .env("STRONGROOM_ASAN_LIBRARY", library)
        .env("STRONGROOM_ASAN_RUNTIME", runtime)
        // Names in what it reports come from binutils where LLVM's tools are not installed. Nothing that leaks is excused.
        .env("ASAN_OPTIONS", "detect_leaks=1:allow_addr2line=1")
        .run()
}

/// The platform we are on. Named to cargo, it keeps the flags from what runs at build time.
fn host() -> anyhow::Result<String> {
    let said = rustc(["--version", "--verbose"])?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// Its Rust, and AWS-LC's C below it; not the standard library, which comes compiled. rustc's flag is one that the pinned stable
/// toolchain hides behind a variable.
fn library(host: &str) -> anyhow::Result<PathBuf> {
    eprintln!("building the PKCS #11 library with AddressSanitizer …");
    let debug = artifacts::folder(Profile::Debug);
    // Nothing of it is what other builds can use.
    let target = debug.parent().context("the build has a folder")?.join("asan");
    Step::cargo(["build", "--package", "strongroom-pkcs11", "--target", host, "--target-dir"])
        .args([&target])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address")
        .env(&format!("CFLAGS_{}", host.replace('-', "_")), "-fsanitize=address")
        .run()?;
    Ok(target.join(host).join("debug/libcloudhsm_pkcs11.so"))
}

/// The runtime that is linked into programs: rustc leaves it out of shared libraries.
fn runtime(host: &str) -> anyhow::Result<PathBuf> {
    let folder = Path::new(rustc(["--print", "sysroot"])?.trim()).join("lib/rustlib").join(host).join("lib");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // Between the two stands the toolchain's channel.
    let runtime = names.into_iter().find(|name| name.starts_with("librustc-") && name.ends_with("_rt.asan.a"));
    let runtime = runtime.with_context(|| format!("no runtime of AddressSanitizer in {}", folder.display()))?;
    Ok(folder.join(runtime))
}

/// What the compiler of this tree says of itself.
fn rustc<const N: usize>(arguments: [&str; N]) -> anyhow::Result<String> {
    Step::new("rustc", arguments).output()
}
