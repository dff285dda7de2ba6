//! `configure-jce`.

use std::process::ExitCode;

use strongroom_cli::configure::{self, Component};

fn main() -> ExitCode {
    configure::run(Component::Jce, std::env::args_os())
}
