//! The programs of `tests/programs/c`, and the PKCS #11 library that they load. `cargo xtask sanitize` runs tests of both with
//! AddressSanitizer in both, and names in [`LIBRARY`] and [`RUNTIME`] what it has built for that.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use strongroom_tests::{program, run};

/// The library with AddressSanitizer in it.
const LIBRARY: &str = "STRONGROOM_ASAN_LIBRARY";
/// The sanitizer's runtime, as rustc brings it: an archive, to be linked into the program that loads such a library.
const RUNTIME: &str = "STRONGROOM_ASAN_RUNTIME";

/// The PKCS #11 library.
#[track_caller]
pub fn library() -> PathBuf {
    std::env::var_os(LIBRARY).map_or_else(|| program("libcloudhsm_pkcs11.so"), PathBuf::from)
}

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
    let runtime = std::env::var_os(RUNTIME);
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(if runtime.is_some() { "asan" } else { "c" }).join(name);
    std::fs::create_dir_all(out.parent().expect("it lies in a folder")).expect("a folder can be made");
    // Tests that run at the same time in another process have one of their own until it is done.
    let made = out.with_extension(std::process::id().to_string());
    let mut gcc = Command::new(program("gcc"));
    gcc.args(["-std=c11", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]);
    gcc.arg("-I").arg(root.join("sdk/pkcs11/include")).arg("-I").arg(root.join("sdk/pkcs11/tests/c"));
    gcc.arg(root.join(format!("tests/programs/c/{name}.c"))).arg("-o").arg(&made);
    gcc.args(runtime.map(with_runtime).unwrap_or_default()).args(libraries).args(["-ldl", "-lpthread"]);
    run(&mut gcc).ok();
    std::fs::rename(&made, &out).expect("it can be renamed");
    all.insert(name.to_owned(), out.clone());
    out
}

/// A program under a checker of memory: the sanitizer where that is in it, otherwise valgrind. Where valgrind is missing the test
/// says so and is skipped; on a machine of continuous integration, which sets `CI`, it fails.
#[track_caller]
pub fn checked(name: &str) -> Option<Command> {
    let program = compiled(name);
    if std::env::var_os(RUNTIME).is_some() {
        return Some(Command::new(program));
    }
    let valgrind = Path::new("/usr/bin/valgrind");
    if !valgrind.exists() {
        let why = "valgrind is missing: `cargo xtask test` installs it where it may";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("skipped: {why}");
        return None;
    }
    let mut command = Command::new(valgrind);
    let options = ["--quiet", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite"];
    command.args(options).arg(program);
    Some(command)
}

/// The program brings the sanitizer's runtime along: rustc's, which fits what rustc puts into the library, and which knows all
/// that gcc asks for. `-nodefaultlibs` keeps gcc's own out.
fn with_runtime(runtime: OsString) -> Vec<OsString> {
    let words = ["-fsanitize=address", "-fno-omit-frame-pointer", "-nodefaultlibs", "-rdynamic", "-Wl,--whole-archive"];
    let libraries = ["-Wl,--no-whole-archive", "-lm", "-lc", "-lgcc", "-lgcc_s"];
    words.into_iter().map(OsString::from).chain([runtime]).chain(libraries.map(OsString::from)).collect()
}
