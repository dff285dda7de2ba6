//! `configure-dyn`.

use std::process::ExitCode;

use strongroom_cli::configure::{self, Component};

fn main() -> ExitCode {
    configure::run(Component::Dyn, std::env::args_os())
}
