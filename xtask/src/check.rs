//! `cargo xtask check`: the gate before a commit.

use crate::run::Step;
use crate::tidy;

/// Runs it; stops at the first thing that is wrong.
pub fn run() -> anyhow::Result<()> {
    Step::cargo(["fmt", "--all", "--", "--check"]).run()?;
    tidy::run()?;
    Step::cargo(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]).run()?;
    Step::cargo(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "--deny warnings")
        .run()?;
    Step::cargo(["test", "--quiet", "--workspace", "--lib", "--bins"]).run()
}
