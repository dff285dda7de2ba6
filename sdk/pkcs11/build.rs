//! Link options of the shared library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Never unmapped: threads that called in have destructors in here, and programs keep the function list.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Names are looked up when the library is loaded, so that a missing one is an error there and not in a call.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,now");
}
