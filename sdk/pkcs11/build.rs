//! Link options of the shared library.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Linked from where cargo knows that it lies, in a source tree that was moved too.
    let script = Path::new(&env::var_os("OUT_DIR").expect("cargo names the folder")).join("no-destructors.ld");
    fs::copy("../no-destructors.ld", &script).expect("the script lies beside the libraries' folders");
    println!("cargo:rerun-if-changed=../no-destructors.ld");
    // A process that ends takes no lock of the library, which a forked child may have inherited for good.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-T,{}", script.display());
    // Programs that are linked to it ask the loader for this name, wherever the file was when they were.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcloudhsm_pkcs11.so");
    // Never unmapped: threads that called in have destructors in here, and programs keep the function list.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Names are looked up when the library is loaded, so that a missing one is an error there and not in a call.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,now");
}
