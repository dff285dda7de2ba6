//! `configure-pkcs11`.

use std::process::ExitCode;

use strongroom_cli::configure::{self, Component};

fn main() -> ExitCode {
    configure::run(Component::Pkcs11, std::env::args_os())
}
