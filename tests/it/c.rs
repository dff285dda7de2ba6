//! The programs of `tests/programs/c`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use strongroom_tests::{program, run};

/// A program, compiled once for all tests against the headers that users get, without a warning.
#[track_caller]
pub fn compiled(name: &str) -> PathBuf {
    linked(name, &[])
}

/// The same, linked with these libraries too.
#[track_caller]
pub fn linked(name: &str, libraries: &[&str]) -> PathBuf {
    static COMPILED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut all = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compiled) = all.get(name) {
        return compiled.clone();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the project");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c").join(name);
    std::fs::create_dir_all(out.parent().expect("it lies in a folder")).expect("a folder can be made");
    // Tests that run at the same time in another process have one of their own until it is done.
    let made = out.with_extension(std::process::id().to_string());
    let mut gcc = Command::new(program("gcc"));
    gcc.args(["-std=c11", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]);
    gcc.arg("-I").arg(root.join("sdk/pkcs11/include")).arg("-I").arg(root.join("sdk/pkcs11/tests/c"));
    gcc.arg(root.join(format!("tests/programs/c/{name}.c"))).arg("-o").arg(&made);
    gcc.args(libraries).args(["-ldl", "-lpthread"]);
    run(&mut gcc).ok();
    std::fs::rename(&made, &out).expect("it can be renamed");
    all.insert(name.to_owned(), out.clone());
    out
}
