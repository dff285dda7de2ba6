//! The `strongroom-hsm` command; everything is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    strongroom_hsm::main(std::env::args_os())
}
