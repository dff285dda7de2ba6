//! Files that operators and tools write: an HSM's settings, a client's configuration, a state folder, the root key.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use strongroom_control::processes::ProcessRecord;
use strongroom_control::state::{ClusterFile, Credentials, HsmEntry, HsmRun, NewCluster, Running};
use strongroom_crypto::digest::digest;
use strongroom_crypto_keys::seal::RootKey;
use strongroom_hsm::settings::Settings;
use strongroom_types::{ClusterId, ClusterMode, HashFunction, HsmId, HsmType};

use crate::raw_or_edited;

static ROOT_KEY: LazyLock<Vec<u8>> = LazyLock::new(crate::samples::root_key_file);

/// Bytes of a root key's file before its checksum.
const CHECKSUM_AT: usize = 44;

/// The target.
pub fn run(data: &[u8]) {
    if let Ok(settings) = Settings::parse(Path::new("/hsm"), Path::new("/hsm/hsm.json"), data) {
        assert!(settings.setup.root_key.starts_with("/") && settings.address.port() > 0);
    }
    if let Ok(config) = strongroom_client::config_of(data) {
        assert!(!config.clusters.is_empty() && config.clusters.iter().all(|cluster| !cluster.servers.is_empty()));
    }
    let path = || PathBuf::from("file.json");
    let _ = (Running::parse(path(), data), Credentials::parse(path(), data));
    if let Ok(cluster) = ClusterFile::parse(path(), data) {
        let again = serde_json::to_vec(&cluster).unwrap();
        assert_eq!(ClusterFile::parse(path(), &again).ok(), Some(cluster));
    }
    let mut root_key = raw_or_edited(&ROOT_KEY, data);
    assert_eq!(RootKey::from_content(&root_key).is_ok(), root_key == *ROOT_KEY);
    // With a checksum that is right, what comes before it counts.
    root_key.truncate(CHECKSUM_AT);
    let head_is_good = root_key.len() == CHECKSUM_AT && root_key[..12] == ROOT_KEY[..12];
    root_key.extend(digest(HashFunction::Sha256, &root_key));
    assert_eq!(RootKey::from_content(&root_key).is_ok(), head_is_good);
}

/// To begin with: a file of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let files = [
        r#"{"format": 1, "hsm_id": "hsm-aaaaaaaaaaa", "cluster_id": "cluster-bbbbbbbbbbb", "ip": "127.0.7.1",
            "port": 2223, "availability_zone": "local-1a", "mode": "FIPS", "hsm_type": "hsm1.medium",
            "lease_ms": 10000, "password_iterations": 210000, "root_key": "../root.key",
            "store": {"database": "../store.db", "members": "../members"}}"#,
        r#"{"clusters": [{"type": "hsm1", "cluster": {"hsm_ca_file": "customerCA.crt", "cluster_id":
            "cluster-2345abcdefg", "servers": [{"hostname": "127.0.7.1", "port": 2223, "enable": true}],
            "options": {"disable_key_availability_check": true}}}],
            "logging": {"log_type": "file", "log_file": "x.log", "log_level": "info", "log_interval": "daily"}}"#,
        r#"{"format": 1, "admin": {"username": "admin", "password": "password1"},
            "crypto_user": {"username": "cu", "password": "password2"}}"#,
    ];
    let mut seeds: Vec<_> = files.map(|file| file.as_bytes().to_vec()).to_vec();
    let hsm_id = HsmId::from_random([4; 7]);
    let (ip, availability_zone) = (Ipv4Addr::new(127, 0, 7, 1), String::from("local-1a"));
    let cluster = NewCluster {
        cluster_id: ClusterId::from_random([3; 7]),
        hsm_type: HsmType::Hsm2mMedium,
        mode: ClusterMode::NonFips,
        lease_ms: 10_000,
        password_iterations: 210_000,
    };
    let run = HsmRun { hsm_id: hsm_id.to_string(), process: None, ends: 2, last_end: None };
    let entry = HsmEntry { hsm_id, ip, port: 2223, availability_zone };
    seeds.push(serde_json::to_vec(&ClusterFile::new(cluster, vec![entry])).unwrap());
    let process = ProcessRecord { pid: 7, started_ticks: 9 };
    seeds.push(serde_json::to_vec(&Running::new(process, vec![run])).unwrap());
    seeds.extend(crate::edits(&[]));
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decoder_accepts_a_seed() {
        let accepted = |what: &str, accepts: &dyn Fn(&[u8]) -> bool| {
            assert!(seeds().iter().any(|seed| accepts(seed)), "no seed is a good {what}");
        };
        let path = || PathBuf::from("file.json");
        accepted("hsm.json", &|seed| Settings::parse(Path::new("/hsm"), Path::new("/hsm/hsm.json"), seed).is_ok());
        accepted("configuration", &|seed| strongroom_client::config_of(seed).is_ok());
        accepted("cluster.json", &|seed| ClusterFile::parse(path(), seed).is_ok());
        accepted("serve.json", &|seed| Running::parse(path(), seed).is_ok());
        accepted("credentials.json", &|seed| Credentials::parse(path(), seed).is_ok());
    }
}
