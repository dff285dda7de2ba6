//! `configure-openssl-provider`.

use std::process::ExitCode;

use strongroom_cli::configure::{self, Component};

fn main() -> ExitCode {
    configure::run(Component::OpensslProvider, std::env::args_os())
}
