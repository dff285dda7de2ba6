//! `hsm.json`: what an HSM is told at its start. Read strictly: a wrong field, an unknown one, or one too many is an
//! error that names the file, the field and what would be right.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;
use strongroom_core::Hsm;
use strongroom_store::SqliteConfig;
use thiserror::Error;

use crate::cluster::Setup;
use crate::identity;

/// The settings' file, in the HSM's folder.
pub const FILE: &str = "hsm.json";
/// The format that this version reads.
const FORMAT: u64 = 1;
/// The anchor, in the HSM's folder.
const ANCHOR: &str = "anchor";
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

/// Values of any kind, so that an error about one names its field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    format: Value,
    hsm_id: Value,
    cluster_id: Value,
    ip: Value,
    port: Value,
    availability_zone: Value,
    mode: Value,
    hsm_type: Value,
    store: RawStore,
    root_key: Value,
    lease_ms: Value,
    password_iterations: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStore {
    database: Value,
    members: Value,
}

/// A field's value, and what to say when it is not one it may have.
struct Field<'a> {
    path: &'a Path,
    name: &'static str,
    expected: &'static str,
    value: &'a Value,
}

impl Field<'_> {
    fn wrong(&self) -> SettingsError {
        SettingsError::Field { path: self.path.to_owned(), field: self.name, expected: self.expected }
    }

    fn text(&self) -> Result<&str, SettingsError> {
        self.value.as_str().ok_or_else(|| self.wrong())
    }

    fn parsed<T: FromStr>(&self) -> Result<T, SettingsError> {
        self.text()?.parse().map_err(|_| self.wrong())
    }

    fn number<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Result<T, SettingsError> {
        let number = self.value.as_u64().filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| self.wrong())
    }

    /// A path, made absolute by the folder.
    fn place(&self, folder: &Path) -> Result<PathBuf, SettingsError> {
        let given = self.text()?;
        if given.is_empty() || given.contains('\0') { Err(self.wrong()) } else { Ok(plain(folder.join(given))) }
    }
}

/// The same place without `..`, for whoever reads it in a message; as it is when a link on the way makes that another
/// place.
fn plain(path: PathBuf) -> PathBuf {
    let mut short = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(short.pop()),
            other => short.push(other),
        }
    }
    let folder = |path: &Path| {
        let metadata = path.parent()?.metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    match (folder(&short), folder(&path)) {
        (Some(one), Some(other)) if one == other => short,
        _ => path,
    }
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

    /// Reads the content of the file at `path` in an HSM's folder.
    pub fn parse(folder: &Path, path: &Path, bytes: &[u8]) -> Result<Settings, SettingsError> {
        let json = |source| SettingsError::Json { path: path.to_owned(), source };
        let raw: Raw = serde_json::from_slice(bytes).map_err(json)?;
        let field = |name, value, expected| Field { path, name, expected, value };
        let place = |name, value| field(name, value, "a path, absolute or relative to the HSM's folder").place(folder);
        let expected = "1; a file of another format needs another version of strongroom-hsm";
        field("format", &raw.format, expected).number::<u64>(FORMAT..=FORMAT)?;
        let expected = "hsm- and 11 to 16 characters of a-z, A-Z, 2-7";
        let hsm_id = field("hsm_id", &raw.hsm_id, expected).parsed()?;
        let ip: IpAddr = field("ip", &raw.ip, "an IPv4 or IPv6 address in text form").parsed()?;
        let port = field("port", &raw.port, "a number from 1 to 65535").number(1..=65_535)?;
        let zone = field("availability_zone", &raw.availability_zone, "the name of a zone, 1 to 64 bytes");
        let zone =
            Some(zone.text()?).filter(|text| (1..=ZONE_LEN_MAX).contains(&text.len())).ok_or_else(|| zone.wrong())?;
        let expected = "cluster- and 11 to 16 characters of a-z, A-Z, 2-7";
        let setup = Setup {
            hsm: Hsm {
                ip: ip.to_string(),
                port,
                zone: zone.to_owned(),
                serial: identity::serial_number(&hsm_id),
                id: hsm_id,
            },
            cluster_id: field("cluster_id", &raw.cluster_id, expected).parsed()?,
            mode: field("mode", &raw.mode, "FIPS or NON_FIPS").parsed()?,
            hsm_type: field("hsm_type", &raw.hsm_type, "hsm1.medium or hsm2m.medium").parsed()?,
            lease_ms: field("lease_ms", &raw.lease_ms, "a number from 100 to 3600000").number(100..=3_600_000)?,
            password_iterations: field("password_iterations", &raw.password_iterations, "a number from 1 to 100000000")
                .number(1..=100_000_000)?,
            root_key: place("root_key", &raw.root_key)?,
            anchor: folder.join(ANCHOR),
            store: SqliteConfig::new(
                place("store.database", &raw.store.database)?,
                place("store.members", &raw.store.members)?,
            ),
        };
        Ok(Settings { folder: folder.to_owned(), address: SocketAddr::new(ip, port), setup })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
    fn a_path_is_said_without_detours_unless_a_link_is_on_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["state/hsms/one", "state/store", "elsewhere/two"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(at("elsewhere/two"), at("state/hsms/two")).unwrap();
        assert_eq!(plain(at("state/hsms/one/../../store/file")), at("state/store/file"));
        let detour = at("state/hsms/two/../../state/store/file");
        assert_eq!(plain(detour.clone()), detour);
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
        check("port", json!("2223"), "1 to 65535");
        check("port", json!(65_536), "1 to 65535");
        check("port", json!(-1), "1 to 65535");
        check("mode", json!(7), "FIPS or NON_FIPS");
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
