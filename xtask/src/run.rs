//! Running other programs, and telling what went wrong with them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The root of the work tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root").to_owned()
}

/// One program to run, from the root of the tree, its output shown as it comes.
pub struct Step {
    command: Command,
}

impl Step {
    /// A program with its arguments.
    pub fn new<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = A>) -> Step {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(root()).stdin(Stdio::null());
        Step { command }
    }

    /// The cargo that runs us.
    pub fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Step {
        Step::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments)
    }

    /// More arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Step {
        self.command.args(arguments);
        self
    }

    /// A variable of the environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Step {
        self.command.env(name, value);
        self
    }

    /// Another folder than the root.
    pub fn folder(mut self, folder: &Path) -> Step {
        self.command.current_dir(folder);
        self
    }

    fn words(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    /// Runs it; an error names the command when it fails.
    pub fn run(mut self) -> anyhow::Result<()> {
        let status = self.command.status().with_context(|| format!("cannot start `{}`", self.words()))?;
        if !status.success() {
            bail!("`{}` failed: {status}", self.words());
        }
        Ok(())
    }

    /// Runs it and shows what it wrote only when it fails.
    pub fn run_quietly(mut self) -> anyhow::Result<()> {
        let output = self.command.output().with_context(|| format!("cannot start `{}`", self.words()))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("`{}` failed: {}\n{}", self.words(), output.status, String::from_utf8_lossy(&said));
        }
        Ok(())
    }

    /// Runs it and returns what it wrote to standard output; standard error is shown.
    pub fn output(mut self) -> anyhow::Result<String> {
        self.command.stderr(Stdio::inherit());
        let output = self.command.output().with_context(|| format!("cannot start `{}`", self.words()))?;
        if !output.status.success() {
            bail!("`{}` failed: {}", self.words(), output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{}` did not print text", self.words()))
    }
}

/// The first file of this name in `PATH` or in the folders of system programs.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|file| file.is_file())
}
