//! Link options of the shared library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Programs that are linked to it ask the loader for this name, wherever the file was when they were.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcloudhsm_pkcs11.so");
    // Never unmapped: threads that called in have destructors in here, and programs keep the function list.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Names are looked up when the library is loaded, so that a missing one is an error there and not in a call.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,now");
}
