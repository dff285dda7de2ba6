//! `cloudhsm-cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    strongroom_cli::run(std::env::args_os())
}
