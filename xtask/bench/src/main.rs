//! The measurements behind `cargo xtask bench`.
fn main() {}
