//! `configure-cli`.

use std::process::ExitCode;

use strongroom_cli::configure::{self, Component};

fn main() -> ExitCode {
    configure::run(Component::Cli, std::env::args_os())
}
