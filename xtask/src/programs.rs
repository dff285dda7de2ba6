//! What the end-to-end tests of other people's programs need beside system packages: a Python with PKCS #11, a program in Go.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::artifacts::{self, Profile};
use crate::packages::{self, PKCS11_PROGRAMS};
use crate::run::{Step, root};

/// Sets all of it up. Where that cannot be, the tests of what is missing say so and are skipped; on a machine of continuous
/// integration, which sets `CI`, it is an error.
pub fn set_up() -> anyhow::Result<()> {
    for (what, done) in [("programs", packages::install(&PKCS11_PROGRAMS)), ("Python", python()), ("Go", go())] {
        match done {
            Err(error) if std::env::var_os("CI").is_none() => {
                eprintln!("tests with other people's programs will be skipped ({what}): {error:#}");
            }
            done => done?,
        }
    }
    Ok(())
}

/// Where the tests look for it: beside the folders of profiles.
fn folder() -> anyhow::Result<PathBuf> {
    let debug = artifacts::folder(Profile::Debug);
    let folder = debug.parent().context("the build has a folder")?.join("programs");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// An environment of Python with the packages of `tests/programs/python/requirements.txt`, made anew when those change.
fn python() -> anyhow::Result<()> {
    let venv = folder()?.join("python");
    let requirements = root().join("tests/programs/python/requirements.txt");
    let wanted = fs::read(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let installed = venv.join("requirements.txt");
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    Step::new("/usr/bin/python3", ["-m", "venv", "--clear"]).args([&venv]).run_quietly()?;
    let options = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r"];
    Step::new(venv.join("bin/python"), options).args([&requirements]).run_quietly()?;
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))
}

/// The program of `tests/programs/go`.
fn go() -> anyhow::Result<()> {
    let built = folder()?.join("go-keys");
    let source = root().join("tests/programs/go");
    Step::new("go", ["build", "-mod=readonly", "-o"]).args([&built]).folder(&source).run_quietly()
}
