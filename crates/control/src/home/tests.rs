//! Client folders: new, used, moved, changed by others.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use strongroom_types::{ClusterId, ClusterMode, HsmId, HsmType};

use super::*;
use crate::state::{HsmEntry, NewCluster};

fn cluster(hsms: u8) -> ClusterFile {
    let hsm = |n: u8| HsmEntry {
        hsm_id: HsmId::from_random([n; 7]),
        ip: Ipv4Addr::new(127, 9, 9, n),
        port: 2223,
        availability_zone: "lo-central-1a".to_owned(),
    };
    let new = NewCluster {
        cluster_id: ClusterId::from_random([7; 7]),
        hsm_type: HsmType::Hsm2mMedium,
        mode: ClusterMode::Fips,
        lease_ms: 10_000,
        password_iterations: 210_000,
    };
    ClusterFile::new(new, (1..=hsms).map(hsm).collect())
}

struct World {
    _place: tempfile::TempDir,
    folder: StateFolder,
    beside: PathBuf,
}

impl World {
    fn new() -> World {
        let place = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::prepare(&place.path().join("state")).expect("prepared");
        let beside = place.path().join("programs");
        fs::create_dir(&beside).expect("made");
        World { _place: place, folder, beside }
    }

    fn prepare(&self, hsms: u8) -> Result<Vec<String>, StateError> {
        prepare(&self.folder, &cluster(hsms), b"CA", &self.beside)
    }

    fn configuration(&self, component: &str) -> PathBuf {
        self.folder.home().join("etc").join(format!("cloudhsm-{component}.cfg"))
    }

    fn read(&self, component: &str) -> Value {
        serde_json::from_slice(&fs::read(self.configuration(component)).expect("there")).expect("JSON")
    }
}

#[test]
fn a_new_folder_has_configurations_of_every_client() {
    let world = World::new();
    let notes = world.prepare(2).expect("prepared");
    assert_eq!(notes.len(), 3 + Component::ALL.len(), "the programs are missing: {notes:?}");
    let home = world.folder.home();
    for component in ["cli", "pkcs11", "dyn", "jce", "openssl-provider"] {
        let to_file = !matches!(component, "dyn" | "openssl-provider");
        let found = world.read(component);
        let ours = &found["clusters"][0]["cluster"];
        assert_eq!(ours["cluster_id"], cluster(2).cluster_id.as_str());
        assert_eq!(ours["hsm_ca_file"], json!(home.join("etc/customerCA.crt")));
        assert_eq!(ours["servers"][1], json!({ "hostname": "127.9.9.2", "port": 2223, "enable": true }));
        assert_eq!(ours["options"]["disable_key_availability_check"], false);
        assert_eq!(found["clusters"][0]["type"], "hsm2m");
        let log = home.join("run").join(format!("cloudhsm-{component}.log"));
        assert_eq!(found["logging"].get("log_file"), to_file.then(|| json!(log)).as_ref());
    }
    assert_eq!(fs::read(home.join("etc/customerCA.crt")).expect("there"), b"CA");
    assert!(home.join("run").is_dir());
}

#[test]
fn a_cluster_of_one_has_the_availability_check_off() {
    let world = World::new();
    world.prepare(1).expect("prepared");
    let options = &world.read("dyn")["clusters"][0]["cluster"]["options"];
    assert_eq!(options["disable_key_availability_check"], true);
}

#[test]
fn the_headers_of_the_library_are_whole_and_follow_the_program() {
    let world = World::new();
    world.prepare(1).expect("prepared");
    let folder = world.folder.home().join("include/pkcs11");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/pkcs11/include");
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(&folder), names(&source), "a header is in one folder only");
    fs::write(folder.join("pkcs11t.h"), "of another version").expect("written");
    world.prepare(1).expect("prepared again");
    for name in names(&source) {
        assert_eq!(fs::read(folder.join(&name)).expect("there"), fs::read(source.join(&name)).expect("there"));
    }
}

#[test]
fn preparing_again_writes_nothing() {
    let world = World::new();
    world.prepare(2).expect("prepared");
    let stamp = || fs::metadata(world.configuration("cli")).expect("there").modified().expect("a time");
    let before = stamp();
    world.prepare(2).expect("prepared again");
    assert_eq!(stamp(), before);
}

#[test]
fn what_others_changed_stays_and_the_addresses_follow_the_cluster() {
    let world = World::new();
    world.prepare(1).expect("prepared");
    let mut changed = world.read("cli");
    changed["logging"]["log_level"] = json!("debug");
    changed["clusters"][0]["cluster"]["options"]["unknown"] = json!([1, 2]);
    changed["clusters"][0]["cluster"]["hsm_ca_file"] = json!("/elsewhere/customerCA.crt");
    changed["own"] = json!("kept");
    fs::write(world.configuration("cli"), changed.to_string()).expect("written");
    world.prepare(2).expect("prepared again");
    let found = world.read("cli");
    assert_eq!(found["logging"]["log_level"], "debug");
    assert_eq!(found["clusters"][0]["cluster"]["options"]["unknown"], json!([1, 2]));
    assert_eq!(found["own"], "kept");
    assert_eq!(found["clusters"][0]["cluster"]["servers"].as_array().map(Vec::len), Some(2));
    assert_eq!(found["clusters"][0]["cluster"]["hsm_ca_file"], json!(world.folder.home().join("etc/customerCA.crt")));
}

#[test]
fn a_folder_that_was_moved_has_its_paths_corrected() {
    let world = World::new();
    cluster(2).write(&world.folder).expect("written");
    world.prepare(2).expect("prepared");
    let moved = world.folder.root().with_file_name("moved");
    fs::rename(world.folder.root(), &moved).expect("moved");
    let folder = StateFolder::existing(&moved).expect("a cluster's folder");
    prepare(&folder, &cluster(2), b"CA", &world.beside).expect("prepared again");
    let found: Value =
        serde_json::from_slice(&fs::read(moved.join("home/etc/cloudhsm-pkcs11.cfg")).expect("there")).expect("JSON");
    assert_eq!(found["logging"]["log_file"], json!(moved.join("home/run/cloudhsm-pkcs11.log")));
    assert_eq!(found["clusters"][0]["cluster"]["hsm_ca_file"], json!(moved.join("home/etc/customerCA.crt")));
}

#[test]
fn a_configuration_for_another_cluster_is_left_alone_and_garbage_is_named() {
    let world = World::new();
    world.prepare(1).expect("prepared");
    let other = r#"{"clusters":[{"type":"hsm1","cluster":{"cluster_id":"cluster-aaaaaaaaaaa","servers":[]}}]}"#;
    fs::write(world.configuration("jce"), other).expect("written");
    world.prepare(1).expect("prepared again");
    assert_eq!(fs::read_to_string(world.configuration("jce")).expect("there"), other);
    for garbage in ["", "[]", "3", r#"{"clusters": 3}"#, "{"] {
        fs::write(world.configuration("jce"), garbage).expect("written");
        let error = world.prepare(1).expect_err(garbage).to_string();
        assert!(error.contains("cloudhsm-jce.cfg is no client configuration"), "{error}");
    }
}

#[test]
fn programs_are_linked_where_they_are_and_follow_a_move() {
    let world = World::new();
    let tools = Component::ALL.map(Component::tool);
    for name in tools.iter().map(String::as_str).chain([programs::CLI, programs::ENGINE, programs::PKCS11]) {
        fs::write(world.beside.join(name), "program").expect("written");
    }
    assert!(world.prepare(1).expect("prepared").is_empty());
    let home = world.folder.home();
    let target = |link: &str| fs::read_link(home.join(link)).expect(link);
    assert_eq!(target("bin/cloudhsm-cli"), world.beside.join("cloudhsm-cli"));
    assert_eq!(target("bin/configure-openssl-provider"), world.beside.join("configure-openssl-provider"));
    assert_eq!(target("engines-3/cloudhsm.so"), world.beside.join(programs::ENGINE));
    assert_eq!(target("lib/libcloudhsm_openssl_engine.so"), world.beside.join(programs::ENGINE));
    assert_eq!(target("lib/libcloudhsm_pkcs11.so"), world.beside.join(programs::PKCS11));
    let elsewhere = world.beside.with_file_name("elsewhere");
    fs::rename(&world.beside, &elsewhere).expect("moved");
    prepare(&world.folder, &cluster(1), b"CA", &elsewhere).expect("prepared again");
    assert_eq!(target("engines-3/cloudhsm.so"), elsewhere.join(programs::ENGINE));
}
