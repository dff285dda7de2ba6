//! The `strongroom` command; everything is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    strongroom_control::run(std::env::args_os())
}
