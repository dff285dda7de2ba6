//! Link options of the shared library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("no-destructors.ld");
    println!("cargo:rerun-if-changed={}", script.display());
    // A process that ends takes no lock of the library, which a forked child may have inherited for good.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-T,{}", script.display());
    // Never unmapped: threads that signed have destructors in here, OpenSSL keeps our error texts and callbacks.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Names are looked up when the library is loaded, so that a missing one is an error there and not in a request.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,now");
}
