//! `cluster.json`: what the cluster is.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strongroom_types::limits::HSMS_MAX;
use strongroom_types::{ClusterId, ClusterMode, HsmId, HsmType};

use super::{Durability, MODE_SECRET, StateFolder, read_bounded, write_whole};
use crate::error::StateError;

/// The format this version writes, and the only one it reads.
const FORMAT: u32 = 1;

/// What the cluster is, settled when it is made. `prepared` alone changes, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterFile {
    format: u32,
    /// The cluster's id.
    #[serde(with = "as_text")]
    pub cluster_id: ClusterId,
    /// The type of its HSMs.
    #[serde(with = "as_text")]
    pub hsm_type: HsmType,
    /// Its mode.
    #[serde(with = "as_text")]
    pub mode: ClusterMode,
    /// A member's lease, milliseconds.
    pub lease_ms: u64,
    /// PBKDF2 iterations of a password.
    pub password_iterations: u32,
    /// Whether certificate, activation and crypto user are done; from then on `up` needs no password.
    pub prepared: bool,
    /// What it began with; absent from a cluster that began empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone_of: Option<CloneOf>,
    /// The HSMs.
    pub hsms: Vec<HsmEntry>,
}

/// The cluster that a clone began with, and where its state folder was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloneOf {
    /// Its id.
    #[serde(with = "as_text")]
    pub cluster_id: ClusterId,
    /// Its state folder, absolute.
    pub state: PathBuf,
}

impl CloneOf {
    /// Whether `path` leads to that folder, or to one of the same cluster that was moved.
    pub fn is_at(&self, path: &Path) -> bool {
        let is_same_place =
            path.canonicalize().or_else(|_| std::path::absolute(path)).is_ok_and(|path| path == self.state);
        let cluster = || StateFolder::existing(path).and_then(|folder| ClusterFile::read(&folder)).ok().flatten();
        match cluster() {
            Some(found) => found.cluster_id == self.cluster_id,
            // It is gone, and was needed when the clone was made.
            None => is_same_place,
        }
    }
}

/// One HSM of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HsmEntry {
    /// Its id.
    #[serde(with = "as_text")]
    pub hsm_id: HsmId,
    /// Its address, of this HSM alone as long as the cluster exists.
    #[serde(with = "as_text")]
    pub ip: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// Its zone.
    pub availability_zone: String,
}

impl HsmEntry {
    /// Where clients reach it.
    pub fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip, self.port)
    }
}

/// Everything of a new cluster that is not an HSM.
#[derive(Clone, Debug)]
pub struct NewCluster {
    /// Its id.
    pub cluster_id: ClusterId,
    /// The type of its HSMs.
    pub hsm_type: HsmType,
    /// Its mode.
    pub mode: ClusterMode,
    /// A member's lease, milliseconds.
    pub lease_ms: u64,
    /// PBKDF2 iterations of a password.
    pub password_iterations: u32,
}

impl ClusterFile {
    /// A cluster of these HSMs that nobody has set up.
    pub fn new(cluster: NewCluster, hsms: Vec<HsmEntry>) -> ClusterFile {
        let NewCluster { cluster_id, hsm_type, mode, lease_ms, password_iterations } = cluster;
        ClusterFile {
            format: FORMAT,
            cluster_id,
            hsm_type,
            mode,
            lease_ms,
            password_iterations,
            prepared: false,
            clone_of: None,
            hsms,
        }
    }

    /// The file of `folder`, or none if there is none.
    pub fn read(folder: &StateFolder) -> Result<Option<ClusterFile>, StateError> {
        let path = folder.cluster_file();
        let Some(content) = read_bounded(&path)? else { return Ok(None) };
        ClusterFile::parse(path, &content).map(Some)
    }

    /// Reads the content of the file at `path`.
    pub fn parse(path: PathBuf, content: &[u8]) -> Result<ClusterFile, StateError> {
        let damaged = |error: serde_json::Error| StateError::damaged(path.clone(), &error);
        // The format first: what else a newer file holds is not for this version to judge.
        let format = serde_json::from_slice::<Format>(content).map_err(damaged)?.format;
        if format > u64::from(FORMAT) {
            return Err(StateError::Format { path, found: format, known: FORMAT });
        }
        let cluster: ClusterFile = serde_json::from_slice(content).map_err(damaged)?;
        cluster.check().map_err(|what| StateError::Contradiction { path, what })?;
        Ok(cluster)
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.format != FORMAT {
            return Err("the format is 0");
        }
        if self.hsms.is_empty() || self.hsms.len() > HSMS_MAX {
            return Err("a cluster has 1 to 28 HSMs");
        }
        let ids: HashSet<_> = self.hsms.iter().map(|hsm| &hsm.hsm_id).collect();
        let addresses: HashSet<_> = self.hsms.iter().map(HsmEntry::address).collect();
        if ids.len() != self.hsms.len() || addresses.len() != self.hsms.len() {
            return Err("two HSMs have the same id or address");
        }
        if self.clone_of.as_ref().is_some_and(|origin| !origin.state.is_absolute()) {
            return Err("the folder of the clone's origin is not absolute");
        }
        if self.hsms.iter().any(|hsm| !hsm.ip.is_loopback() || hsm.port == 0) {
            return Err("an HSM's address is not of this machine alone");
        }
        Ok(())
    }

    /// Writes the file.
    pub fn write(&self, folder: &StateFolder) -> Result<(), StateError> {
        let mut content = serde_json::to_vec_pretty(self).expect("a struct of texts and numbers is JSON");
        content.push(b'\n');
        write_whole(&folder.cluster_file(), &content, MODE_SECRET, Durability::Disk)
    }
}

#[derive(Deserialize)]
struct Format {
    format: u64,
}

/// Values whose text is their JSON.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ClusterFile {
        let hsm = |n: u8| HsmEntry {
            hsm_id: HsmId::from_random([n; 7]),
            ip: Ipv4Addr::new(127, 9, 9, n),
            port: 2223,
            availability_zone: "lo-central-1a".to_owned(),
        };
        let cluster = NewCluster {
            cluster_id: ClusterId::from_random([7; 7]),
            hsm_type: HsmType::Hsm2mMedium,
            mode: ClusterMode::Fips,
            lease_ms: 10_000,
            password_iterations: 210_000,
        };
        ClusterFile::new(cluster, vec![hsm(1), hsm(2)])
    }

    #[test]
    fn what_is_written_is_read() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::prepare(place.path()).expect("prepared");
        assert_eq!(ClusterFile::read(&folder).expect("readable"), None);
        sample().write(&folder).expect("written");
        assert_eq!(ClusterFile::read(&folder).expect("readable"), Some(sample()));
    }

    #[test]
    fn a_clone_tells_its_origin_and_knows_it_again() {
        let place = tempfile::tempdir().expect("a folder");
        let (one, other) = (place.path().join("one"), place.path().join("other"));
        let folder = StateFolder::prepare(&one).expect("prepared");
        let origin = sample();
        origin.write(&folder).expect("written");
        let state = folder.root().to_owned();
        let clone_of = CloneOf { cluster_id: origin.cluster_id.clone(), state };
        let clone = ClusterFile { clone_of: Some(clone_of.clone()), ..sample() };
        let written = serde_json::to_vec(&clone).expect("JSON");
        assert_eq!(ClusterFile::parse("cluster.json".into(), &written).expect("readable"), clone);
        assert!(!serde_json::to_string(&origin).expect("JSON").contains("clone_of"));
        let text = String::from_utf8(written).expect("text");
        let relative = text.replace(&format!("\"{}\"", clone_of.state.display()), "\"one\"");
        let error = ClusterFile::parse("cluster.json".into(), relative.as_bytes()).expect_err("relative");
        assert!(error.to_string().contains("is not absolute"), "{error}");
        // Where it was, where it was moved, and where it is no more.
        assert!(clone_of.is_at(&one) && !clone_of.is_at(&other));
        std::fs::rename(&one, &other).expect("moved");
        assert!(clone_of.is_at(&other) && clone_of.is_at(&one));
        let another = StateFolder::prepare(&one).expect("prepared");
        ClusterFile { cluster_id: ClusterId::from_random([8; 7]), ..sample() }.write(&another).expect("written");
        assert!(!clone_of.is_at(&one), "another cluster in its place");
    }

    #[test]
    fn files_of_others_are_refused_by_what_is_wrong_with_them() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::prepare(place.path()).expect("prepared");
        let whole = serde_json::to_string(&sample()).expect("JSON");
        let check = |content: &str, expected: &str| {
            std::fs::write(folder.cluster_file(), content).expect("written");
            let error = ClusterFile::read(&folder).expect_err(content).to_string();
            assert!(error.contains(expected), "{content}: {error}");
        };
        check("", "is damaged");
        check("{}", "is damaged");
        check(r#"{"format": 2, "anything": true}"#, "has format 2, this version of strongroom knows 1");
        check(&whole.replace("\"format\":1", "\"format\":0"), "the format is 0");
        check(&whole.replace("\"mode\":\"FIPS\"", "\"mode\":\"fast\""), "is damaged");
        check(&whole.replace("\"prepared\"", "\"unknown\":1,\"prepared\""), "is damaged");
        check(&whole.replace("127.9.9.2", "127.9.9.1"), "same id or address");
        check(&whole.replace("127.9.9.2", "10.9.9.2"), "not of this machine alone");
        check(&whole.replace("127.9.9.2", "localhost"), "is damaged");
        let at = whole.find("\"hsms\":").expect("there");
        check(&format!("{}\"hsms\":[]}}", &whole[..at]), "1 to 28 HSMs");
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::prepare(place.path()).expect("prepared");
        let whole = serde_json::to_vec(&sample()).expect("JSON");
        for len in 0..whole.len() {
            std::fs::write(folder.cluster_file(), &whole[..len]).expect("written");
            assert!(ClusterFile::read(&folder).is_err(), "{len} bytes");
        }
    }
}
