//! Where Strongroom's programs are: beside this one, in a build folder as in an installation.

use std::path::{Path, PathBuf};

use crate::error::ProgramError;

/// The HSM process.
pub(crate) const HSM: &str = "strongroom-hsm";
/// The command line tool.
pub(crate) const CLI: &str = "cloudhsm-cli";
/// The OpenSSL engine.
pub(crate) const ENGINE: &str = "libcloudhsm_openssl_engine.so";
/// The PKCS #11 library.
pub(crate) const PKCS11: &str = "libcloudhsm_pkcs11.so";

/// This program.
pub(crate) fn own() -> Result<PathBuf, ProgramError> {
    std::env::current_exe().map_err(|source| ProgramError::OwnPath { source })
}

/// The folder this program is in.
pub(crate) fn folder() -> Result<PathBuf, ProgramError> {
    let own = own()?;
    Ok(own.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned))
}

/// What the HSM program has to say, without its name.
pub(crate) fn said_by_hsm(stderr: &[u8]) -> String {
    String::from_utf8_lossy(stderr).trim().trim_start_matches("strongroom-hsm: ").to_owned()
}

/// The HSM program.
pub(crate) fn hsm() -> Result<PathBuf, ProgramError> {
    let path = folder()?.join(HSM);
    if path.is_file() { Ok(path) } else { Err(ProgramError::Missing { path }) }
}
