//! System packages that tests and the demo need: installed when missing, on Debian and Ubuntu.

use anyhow::{Context, bail};

use crate::run::{Step, find_program};

/// One program and the Debian package that brings it.
#[derive(Clone, Copy)]
pub struct Package {
    /// The program that shows whether it is there; where the package has none, the path of a file.
    pub program: &'static str,
    /// The package.
    pub name: &'static str,
}

/// A stock web server; the package keeps its default site from starting only through `policy-rc.d`, see `install`.
pub const NGINX: Package = Package { program: "nginx", name: "nginx" };
/// The client of the demo and of the tests.
pub const CURL: Package = Package { program: "curl", name: "curl" };
/// The command line of OpenSSL 3.
pub const OPENSSL: Package = Package { program: "openssl", name: "openssl" };
/// Lists the symbols of the engine.
pub const BINUTILS: Package = Package { program: "nm", name: "binutils" };
/// Cuts addresses off in a network of a test's own.
pub const IPROUTE: Package = Package { program: "ip", name: "iproute2" };
/// Makes system calls of a test's process fail.
pub const STRACE: Package = Package { program: "strace", name: "strace" };
/// Reads and changes the files that users approve by, as the pages for operators do.
pub const JQ: Package = Package { program: "jq", name: "jq" };
/// Writes keys in hexadecimal for openssl, as the same pages do.
pub const XXD: Package = Package { program: "xxd", name: "xxd" };
/// A program in C that loads the engine is compiled with OpenSSL's headers.
pub const OPENSSL_HEADERS: Package = Package { program: "/usr/include/openssl/engine.h", name: "libssl-dev" };
/// The headers of the PKCS #11 library are compiled as C++ too.
pub const CXX: Package = Package { program: "c++", name: "g++" };
/// The software token that the PKCS #11 library is compared with.
pub const SOFTHSM2: Package = Package { program: "softhsm2-util", name: "softhsm2" };
/// Makes clean Debian folders.
pub const DEBOOTSTRAP: Package = Package { program: "debootstrap", name: "debootstrap" };

/// Programs that work with keys over PKCS #11, and what checks their work. The same list stands in `tests/it/programs`, each
/// name where it is used.
pub const PKCS11_PROGRAMS: [Package; 17] = [
    Package { program: "pkcs11-tool", name: "opensc" },
    Package { program: "p11tool", name: "gnutls-bin" },
    Package { program: "ssh", name: "openssh-client" },
    Package { program: "sshd", name: "openssh-server" },
    Package { program: "keytool", name: "openjdk-17-jdk-headless" },
    Package { program: "jarsigner", name: "openjdk-17-jdk-headless" },
    // Debian leaves this one file of a package's documentation everywhere.
    Package { program: "/usr/share/doc/libengine-pkcs11-openssl/copyright", name: "libengine-pkcs11-openssl" },
    Package { program: "osslsigncode", name: "osslsigncode" },
    Package { program: "keymgr", name: "knot" },
    Package { program: "kzonesign", name: "knot-dnssecutils" },
    Package { program: "ldns-verify-zone", name: "ldnsutils" },
    Package { program: "ods-hsmspeed", name: "libhsm-bin" },
    Package { program: "go", name: "golang-go" },
    Package { program: "valgrind", name: "valgrind" },
    SOFTHSM2,
    Package { program: "/usr/bin/python3", name: "python3" },
    Package { program: "/usr/share/doc/python3-venv/copyright", name: "python3-venv" },
];

/// Runs its arguments where Debian's scripts start nothing that listens on this machine: neither a web server on port 80 nor an
/// SSH or DNS server. Those scripts ask for leave in one file; where there is none, there is one as long as this takes.
const QUIETLY: &str = "\
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\\nexit 101\\n' > $policy
    chmod 755 $policy
fi
\"$@\"";

/// Installs what is missing. Says exactly what is missing where it may not install.
pub fn install(wanted: &[Package]) -> anyhow::Result<()> {
    let missing: Vec<&str> =
        wanted.iter().filter(|package| find_program(package.program).is_none()).map(|package| package.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let Some(apt) = find_program("apt-get") else {
        bail!("these programs are missing: {list}. Install them with your system's package manager and try again.");
    };
    let root = is_root()?;
    if !root && find_program("sudo").is_none() {
        bail!("these packages are missing: {list}. As root: apt-get install --no-install-recommends {list}");
    }
    eprintln!("installing the system packages {list} …");
    let apt = apt.to_str().context("apt-get's path is not text")?;
    let privileged = |arguments: &[&str]| {
        let mut words = vec!["sh", "-c", QUIETLY, "sh", apt, "-qq"];
        words.extend(arguments);
        let (program, words) = if root { ("sh", &words[1..]) } else { ("sudo", &words[..]) };
        Step::new(program, words).run()
    };
    privileged(&["update"]).context("cannot read the package lists")?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(&missing);
    privileged(&arguments).with_context(|| format!("cannot install {list}"))?;
    match wanted.iter().find(|package| find_program(package.program).is_none()) {
        Some(package) => bail!("{} was installed, yet there is no program {}", package.name, package.program),
        None => Ok(()),
    }
}

fn is_root() -> anyhow::Result<bool> {
    Ok(Step::new("id", ["-u"]).output()?.trim() == "0")
}
