//! `hsm.json`: what an HSM is told at its start. Read strictly: a wrong field, an unknown one, or one too many is an
//! error that names the file, the field and what would be right.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use strongroom_core::Hsm;
use strongroom_store::SqliteConfig;
use thiserror::Error;

use crate::cluster::Setup;
use crate::identity;

/// The settings' file, in the HSM's folder.
pub const FILE: &str = "hsm.json";
/// The format that this version reads.
const FORMAT: u32 = 1;
/// Bytes of the file.
const FILE_LEN_MAX: u64 = 64 * 1024;
/// Bytes of the zone's name.
const ZONE_LEN_MAX: usize = 64;

/// Settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the HSM.
    pub folder: PathBuf,
    /// Where clients connect.
    pub address: SocketAddr,
    /// What the member needs.
    pub setup: Setup,
}

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; give the folder of an HSM, which holds {FILE}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is larger than any settings.
    #[error("{} is longer than {FILE_LEN_MAX} bytes, so it is not an HSM's settings", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Not JSON, a field missing, unknown, twice, or of the wrong kind.
    #[error("{}: {source}; docs/reference/hsm-json.md describes each field", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// A field's value is not one it may have.
    #[error("{}: the field {field} must be {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What would be right.
        expected: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    format: u32,
    hsm_id: String,
    cluster_id: String,
    ip: String,
    port: u16,
    availability_zone: String,
    mode: String,
    hsm_type: String,
    store: RawStore,
    root_key: PathBuf,
    lease_ms: u32,
    password_iterations: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStore {
    database: PathBuf,
    members: PathBuf,
}

impl Settings {
    /// Reads the settings in an HSM's folder.
    pub fn read(folder: &Path) -> Result<Settings, SettingsError> {
        let path = folder.join(FILE);
        let unreadable = |source| SettingsError::Unreadable { path: path.clone(), source };
        let folder = std::path::absolute(folder).map_err(unreadable)?;
        let file = File::open(&path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        let read = file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if u64::try_from(read).unwrap_or(u64::MAX) > FILE_LEN_MAX {
            return Err(SettingsError::TooLong { path });
        }
        Settings::parse(&folder, &path, &bytes)
    }

    fn parse(folder: &Path, path: &Path, bytes: &[u8]) -> Result<Settings, SettingsError> {
        let json = |source| SettingsError::Json { path: path.to_owned(), source };
        let raw: Raw = serde_json::from_slice(bytes).map_err(json)?;
        let wrong = |field, expected| SettingsError::Field { path: path.to_owned(), field, expected };
        if raw.format != FORMAT {
            return Err(wrong("format", "1; a file of another format needs another version of strongroom-hsm"));
        }
        let ip: IpAddr = raw.ip.parse().map_err(|_| wrong("ip", "an IPv4 or IPv6 address in text form"))?;
        if raw.port == 0 {
            return Err(wrong("port", "a number from 1 to 65535"));
        }
        if raw.availability_zone.is_empty() || raw.availability_zone.len() > ZONE_LEN_MAX {
            return Err(wrong("availability_zone", "the name of a zone, 1 to 64 bytes"));
        }
        if !(100..=3_600_000).contains(&raw.lease_ms) {
            return Err(wrong("lease_ms", "a number from 100 to 3600000"));
        }
        if !(1..=100_000_000).contains(&raw.password_iterations) {
            return Err(wrong("password_iterations", "a number from 1 to 100000000"));
        }
        let hsm_id =
            raw.hsm_id.parse().map_err(|_| wrong("hsm_id", "hsm- and 11 to 16 characters of a-z, A-Z, 2-7"))?;
        let place = |given: &Path, field| {
            let empty = given.as_os_str().is_empty();
            if empty {
                Err(wrong(field, "a path, absolute or relative to the HSM's folder"))
            } else {
                Ok(folder.join(given))
            }
        };
        let setup = Setup {
            hsm: Hsm {
                ip: ip.to_string(),
                port: raw.port,
                zone: raw.availability_zone,
                serial: identity::serial_number(&hsm_id),
                id: hsm_id,
            },
            cluster_id: raw
                .cluster_id
                .parse()
                .map_err(|_| wrong("cluster_id", "cluster- and 11 to 16 characters of a-z, A-Z, 2-7"))?,
            mode: raw.mode.parse().map_err(|_| wrong("mode", "FIPS or NON_FIPS"))?,
            hsm_type: raw.hsm_type.parse().map_err(|_| wrong("hsm_type", "hsm1.medium or hsm2m.medium"))?,
            lease_ms: raw.lease_ms,
            password_iterations: raw.password_iterations,
            root_key: place(&raw.root_key, "root_key")?,
            anchor: folder.join("anchor"),
            store: SqliteConfig::new(
                place(&raw.store.database, "store.database")?,
                place(&raw.store.members, "store.members")?,
            ),
        };
        Ok(Settings { folder: folder.to_owned(), address: SocketAddr::new(ip, raw.port), setup })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({
            "format": 1, "hsm_id": "hsm-aaaaaaaaaaa", "cluster_id": "cluster-bbbbbbbbbbb", "ip": "127.0.7.1",
            "port": 2223, "availability_zone": "lo-central-1a", "mode": "FIPS", "hsm_type": "hsm2m.medium",
            "store": { "database": "../../store/cluster.sqlite", "members": "/elsewhere/members" },
            "root_key": "../../root.key", "lease_ms": 10_000, "password_iterations": 210_000
        })
    }

    fn parse(json: &Value) -> Result<Settings, SettingsError> {
        let bytes = serde_json::to_vec(json).unwrap();
        Settings::parse(Path::new("/state/hsms/one"), Path::new("one/hsm.json"), &bytes)
    }

    #[test]
    fn paths_are_relative_to_the_folder() {
        let settings = parse(&good()).unwrap();
        assert_eq!(settings.address, "127.0.7.1:2223".parse().unwrap());
        assert_eq!(settings.setup.root_key, Path::new("/state/hsms/one/../../root.key"));
        assert_eq!(settings.setup.anchor, Path::new("/state/hsms/one/anchor"));
        assert_eq!(settings.setup.hsm.serial, "1.0S0001-aaaaaaaaaaa");
    }

    #[test]
    fn what_is_wrong_names_the_file_the_field_and_what_is_right() {
        let check = |field: &str, value: Value, expected: &str| {
            let mut json = good();
            json[field] = value;
            let said = parse(&json).unwrap_err().to_string();
            assert!(said.contains("one/hsm.json") && said.contains(field) && said.contains(expected), "{said}");
        };
        check("format", json!(2), "must be 1");
        check("hsm_id", json!("hsm-1"), "must be hsm-");
        check("cluster_id", json!("cluster-"), "must be cluster-");
        check("ip", json!("localhost"), "address");
        check("port", json!(0), "1 to 65535");
        check("port", json!("2223"), "expected u16");
        check("availability_zone", json!(""), "name of a zone");
        check("mode", json!("fips"), "FIPS or NON_FIPS");
        check("hsm_type", json!("hsm3"), "hsm1.medium or hsm2m.medium");
        check("root_key", json!(""), "a path");
        check("lease_ms", json!(99), "100 to 3600000");
        check("password_iterations", json!(0), "1 to 100000000");
        check("colour", json!("blue"), "unknown field");
        for (field, _) in good().as_object().unwrap() {
            let mut json = good();
            json.as_object_mut().unwrap().remove(field);
            let said = parse(&json).unwrap_err().to_string();
            assert!(said.contains("missing field") && said.contains(field), "{said}");
        }
    }

    #[test]
    fn cut_files_are_no_settings() {
        let whole = serde_json::to_vec(&good()).unwrap();
        for len in 0..whole.len() {
            assert!(Settings::parse(Path::new("/"), Path::new("hsm.json"), &whole[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_folder_without_settings_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let said = Settings::read(folder.path()).unwrap_err().to_string();
        assert!(said.contains("hsm.json"), "{said}");
        std::fs::write(folder.path().join(FILE), vec![b' '; 70_000]).unwrap();
        assert!(matches!(Settings::read(folder.path()), Err(SettingsError::TooLong { .. })));
    }
}
