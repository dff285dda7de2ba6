//! Sealed bytes: what nobody sealed does not open, wherever it is put.

use std::sync::LazyLock;

use crate::raw_or_edited;
use strongroom_crypto_keys::seal::{ClusterKey, RootKey, Sealer};
use strongroom_types::{ClusterId, KeyReference, LoginId, RecordPath, Revision, Secret};

const PLAIN: &[u8] = b"what is sealed here";

struct Valid {
    sealer: Sealer,
    record: Vec<u8>,
    material: Vec<u8>,
    tls_key: Vec<u8>,
    ticket: Vec<u8>,
    session_key: Vec<u8>,
    root: RootKey,
    cluster_key: Vec<u8>,
}

const LOGIN: [u8; 16] = [5; 16];

fn cluster() -> ClusterId {
    "cluster-abcdefghijk".parse().unwrap()
}

fn reference() -> KeyReference {
    KeyReference::from_u64(7).unwrap()
}

static VALID: LazyLock<Valid> = LazyLock::new(|| {
    let key = ClusterKey::generate();
    let sealer = Sealer::new(&key, &cluster(), 1);
    let root = RootKey::from_content(&crate::samples::root_key_file()).unwrap();
    Valid {
        record: sealer.seal_record(RecordPath::CLUSTER, Revision(3), PLAIN),
        material: sealer.seal_material(reference(), &Secret::from(PLAIN)),
        tls_key: sealer.seal_tls_key(&Secret::from(PLAIN)),
        ticket: sealer.seal_ticket(PLAIN),
        session_key: sealer.seal_session_key(LoginId::from_bytes(LOGIN), reference(), PLAIN),
        cluster_key: root.seal_cluster_key(&key, &cluster(), 2),
        root,
        sealer,
    }
});

/// The target.
pub fn run(data: &[u8]) {
    let valid = &*VALID;
    let sealer = &valid.sealer;
    let record = raw_or_edited(&valid.record, data);
    let opened = sealer.open_record(RecordPath::CLUSTER, Revision(3), &record).is_ok();
    assert_eq!(opened, record == valid.record);
    let material = raw_or_edited(&valid.material, data);
    assert_eq!(sealer.open_material(reference(), &material).is_ok(), material == valid.material);
    let tls_key = raw_or_edited(&valid.tls_key, data);
    assert_eq!(sealer.open_tls_key(&tls_key).is_ok(), tls_key == valid.tls_key);
    let ticket = raw_or_edited(&valid.ticket, data);
    assert_eq!(sealer.open_ticket(&ticket).is_ok(), ticket == valid.ticket);
    let session_key = raw_or_edited(&valid.session_key, data);
    let opened = sealer.open_session_key(LoginId::from_bytes(LOGIN), reference(), &session_key).is_ok();
    assert_eq!(opened, session_key == valid.session_key);
    let cluster_key = raw_or_edited(&valid.cluster_key, data);
    assert_eq!(valid.root.open_cluster_key(&cluster_key, &cluster()).is_ok(), cluster_key == valid.cluster_key);
}

/// To begin with: the bytes as they are, one changed, cut off.
pub fn seeds() -> Vec<Vec<u8>> {
    crate::edits(&[])
}
