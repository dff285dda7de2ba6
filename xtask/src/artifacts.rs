//! Building Strongroom's programs and finding them.

use std::path::PathBuf;

use crate::run::{Step, root};

/// Which build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Quick to compile.
    Debug,
    /// What users run.
    Release,
}

/// Builds the programs and doors, showing cargo's progress.
pub fn build(profile: Profile) -> anyhow::Result<()> {
    let step = Step::cargo(["build"]);
    match profile {
        Profile::Debug => step,
        Profile::Release => step.args(["--release"]),
    }
    .run()
}

/// The folder that holds the built programs.
pub fn folder(profile: Profile) -> PathBuf {
    // Where it is relative, it is so to the folder in which we run cargo.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(target).join(match profile {
        Profile::Debug => "debug",
        Profile::Release => "release",
    })
}
