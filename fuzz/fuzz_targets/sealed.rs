//! Sealed bytes: what nobody sealed does not open, wherever it is put.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use strongroom_crypto_keys::seal::{ClusterKey, Sealer};
use strongroom_fuzz::raw_or_edited;
use strongroom_types::{KeyReference, RecordPath, Revision, Secret};

const PLAIN: &[u8] = b"what is sealed here";

struct Valid {
    sealer: Sealer,
    record: Vec<u8>,
    material: Vec<u8>,
    tls_key: Vec<u8>,
    ticket: Vec<u8>,
}

fn reference() -> KeyReference {
    KeyReference::from_u64(7).unwrap()
}

static VALID: LazyLock<Valid> = LazyLock::new(|| {
    let sealer = Sealer::new(&ClusterKey::generate(), &"cluster-abcdefghijk".parse().unwrap(), 1);
    Valid {
        record: sealer.seal_record(RecordPath::CLUSTER, Revision(3), PLAIN),
        material: sealer.seal_material(reference(), &Secret::from(PLAIN)),
        tls_key: sealer.seal_tls_key(&Secret::from(PLAIN)),
        ticket: sealer.seal_ticket(PLAIN),
        sealer,
    }
});

fuzz_target!(|data: &[u8]| {
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
});
