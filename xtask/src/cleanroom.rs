//! `cargo xtask cleanroom`: the two commands of the README in a Debian that has only gcc and git.
//!
//! A developer's machine hides missing installs. This makes a folder with a minimal Debian (debootstrap), clones the
//! committed tree into it, mounts the Rust toolchain and the crate cache, and runs the commands inside a chroot in a
//! mount and process namespace of its own, so that whatever they leave behind ends with it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::packages::{self, DEBOOTSTRAP};
use crate::run::{Step, root};

/// What to run and where.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder of the clean Debian; kept, so that a second run starts sooner
    #[arg(long, default_value = "/var/tmp/strongroom-cleanroom")]
    folder: PathBuf,
    /// Make the Debian anew
    #[arg(long)]
    fresh: bool,
    /// Only these of: demo, test
    #[arg(long, value_delimiter = ',', default_value = "demo,test")]
    only: Vec<String>,
}

/// Debian's name of the release.
const SUITE: &str = "bookworm";
/// What a newcomer's machine has, beside Rust.
const PACKAGES: &str = "gcc,libc6-dev,git,ca-certificates";
/// Where the clone lies inside.
const CLONE: &str = "home/newcomer/strongroom";

/// Runs it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if Step::new("id", ["-u"]).output()?.trim() != "0" {
        bail!("the cleanroom needs root for debootstrap, chroot and mounts: run it as root");
    }
    packages::install(&[DEBOOTSTRAP])?;
    let debian = &arguments.folder;
    if arguments.fresh && debian.exists() {
        fs::remove_dir_all(debian).with_context(|| format!("cannot remove {}", debian.display()))?;
    }
    if !debian.join("usr/bin/gcc").exists() {
        eprintln!("making a clean Debian {SUITE} in {} …", debian.display());
        bootstrap(debian)?;
    }
    let clone = debian.join(CLONE);
    if clone.exists() {
        fs::remove_dir_all(&clone).context("cannot remove the former clone")?;
    }
    fs::create_dir_all(clone.parent().context("the clone lies in a folder")?).context("cannot make the home folder")?;
    Step::new("git", ["clone", "--quiet", "--no-hardlinks"]).args([&root(), &clone]).run()?;
    for name in &arguments.only {
        let command = match name.as_str() {
            "demo" => "cargo xtask demo --once",
            "test" => "cargo xtask test",
            other => bail!("the cleanroom knows demo and test, not {other}"),
        };
        eprintln!("in the cleanroom: {command}");
        inside(debian, command)?;
    }
    println!("the cleanroom passed: {}", arguments.only.join(", "));
    Ok(())
}

/// The archive this machine itself uses for the release; a clean Debian gets the same.
fn mirror() -> anyhow::Result<String> {
    let targets = Step::new("apt-get", ["indextargets", "--format", "$(RELEASE) $(SITE)"]).output()?;
    let mut sites = targets.lines().filter_map(|line| line.split_once(' '));
    let site = sites.find(|(release, _)| *release == SUITE).map(|(_, site)| site.trim_end_matches('/').to_owned());
    site.with_context(|| format!("apt-get knows no archive of {SUITE}; run `apt-get update` first"))
}

fn bootstrap(debian: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(debian).context("cannot make the cleanroom's folder")?;
    let include = format!("--include={PACKAGES}");
    let target = debian.to_str().context("the cleanroom's path is not text")?.to_owned();
    Step::new("debootstrap", ["--variant=minbase".to_owned(), include, SUITE.to_owned(), target, mirror()?]).run()?;
    // How this machine reaches the archive, whatever that is.
    for part in ["etc/apt/apt.conf.d", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d", "etc/apt/auth.conf.d"] {
        copy_files(&Path::new("/").join(part), &debian.join(part))?;
    }
    for file in ["etc/resolv.conf", "etc/hosts"] {
        fs::copy(Path::new("/").join(file), debian.join(file)).with_context(|| format!("cannot copy /{file}"))?;
    }
    // And the registries of Python and Go.
    let authorities = "usr/local/share/ca-certificates";
    copy_files(&Path::new("/").join(authorities), &debian.join(authorities))?;
    if Path::new("/etc/pip.conf").exists() {
        fs::copy("/etc/pip.conf", debian.join("etc/pip.conf")).context("cannot copy /etc/pip.conf")?;
    }
    Step::new("chroot", [debian.as_os_str(), "update-ca-certificates".as_ref()]).run_quietly()
}

fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).context("cannot copy apt's configuration")?;
        }
    }
    Ok(())
}

fn folder_of(variable: &str, default: &str) -> anyhow::Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(default));
    std::env::var_os(variable).map(PathBuf::from).or_else(home).with_context(|| format!("{variable} is not set"))
}

/// One command inside, with the toolchain read-only and the crate cache shared. Both lie where they lie outside: a
/// toolchain may be a link to another one. The root is a mount of its own, without which tests could make no namespaces.
fn inside(debian: &Path, command: &str) -> anyhow::Result<()> {
    let rustup = folder_of("RUSTUP_HOME", ".rustup")?;
    let cargo = folder_of("CARGO_HOME", ".cargo")?;
    let script = format!(
        "set -eu\n\
         mount --make-rprivate /\n\
         mount --bind '{d}' '{d}'\n\
         mkdir -p '{d}{rustup}' '{d}{cargo}/registry' '{d}{cargo}/bin'\n\
         mount --bind '{rustup}' '{d}{rustup}'\n\
         mount -o remount,bind,ro '{d}{rustup}'\n\
         mount --bind '{cargo}/bin' '{d}{cargo}/bin'\n\
         mount -o remount,bind,ro '{d}{cargo}/bin'\n\
         mount --bind '{cargo}/registry' '{d}{cargo}/registry'\n\
         for f in config config.toml; do [ ! -f '{cargo}/'$f ] || cp '{cargo}/'$f '{d}{cargo}/'; done\n\
         mount -t proc proc '{d}/proc'\n\
         mount --rbind /dev '{d}/dev'\n\
         mount -t tmpfs tmpfs '{d}/tmp'\n\
         exec chroot '{d}' /usr/bin/env -i HOME=/root TERM=dumb LANG=C.UTF-8 CI=true \
         RUSTUP_HOME='{rustup}' RUSTUP_AUTO_INSTALL=0 CARGO_HOME='{cargo}' \
         PATH='{cargo}/bin':/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
         sh -c 'cd /{CLONE} && {command}'\n",
        d = debian.display(),
        rustup = rustup.display(),
        cargo = cargo.display(),
    );
    let namespaces = ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c"];
    Step::new("unshare", namespaces).args([script]).run().with_context(|| format!("`{command}` in the cleanroom"))
}
