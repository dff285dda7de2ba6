//! The PKCS #11 library, loaded by C programs, and by tests in processes of their own.

mod inside;
mod objects;
mod operations;
mod sessions;
mod wycheproof;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use strongroom_tests::{program, run};

/// A program of `tests/programs/c`, compiled once for all tests against the headers that users get, without a warning.
#[track_caller]
fn compiled(name: &str) -> PathBuf {
    static COMPILED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut all = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compiled) = all.get(name) {
        return compiled.clone();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the project");
    // Tests that run at the same time in another process have one of their own until it is done.
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let made = out.with_extension(std::process::id().to_string());
    let mut gcc = Command::new(program("gcc"));
    gcc.args(["-std=c11", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]);
    gcc.arg("-I").arg(root.join("sdk/pkcs11/include")).arg("-I").arg(root.join("sdk/pkcs11/tests/c"));
    gcc.arg(root.join(format!("tests/programs/c/{name}.c"))).arg("-o").arg(&made).arg("-ldl");
    run(&mut gcc).ok();
    std::fs::rename(&made, &out).expect("it can be renamed");
    all.insert(name.to_owned(), out.clone());
    out
}
