//! Link options of the shared library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Never unmapped: threads that signed have destructors in here, OpenSSL keeps our error texts and callbacks.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Names are looked up when the library is loaded, so that a missing one is an error there and not in a request.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,now");
}
