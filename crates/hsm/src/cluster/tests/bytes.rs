//! Each byte of what a store keeps counts: of a record, of its path, of its revision.
//!
//! A normal run alters a sample. `STRONGROOM_EVERY_BYTE=1 cargo test -p strongroom-hsm every_byte` alters every bit.

use strongroom_crypto_keys::seal::RootKey;
use strongroom_store::{Loaded, Store, StoredRecord};
use strongroom_types::{RecordPath, Revision};

use super::super::keys::Keys;
use super::super::view::View;
use super::super::{Setup, StateError};
use super::world::{Asks, World};

/// In a normal run every so many bits one is altered; no multiple of 8, so that each bit of a byte has its turn.
const SAMPLE_STEP: usize = 37;

/// What a starting HSM says of the records.
fn refusal(root_key: &RootKey, setup: &Setup, loaded: &Loaded) -> Option<StateError> {
    let keys = Keys::open(root_key, &setup.cluster_id, loaded);
    keys.and_then(|keys| View::load(&keys.sealer(), keys.epoch, loaded)).err()
}

/// The bits of `len` bytes that this run alters.
fn bits(len: usize) -> impl Iterator<Item = (usize, u8)> {
    let step = if std::env::var_os("STRONGROOM_EVERY_BYTE").is_some() { 1 } else { SAMPLE_STEP };
    (0..len * 8).step_by(step).map(|bit| (bit / 8, 1 << (bit % 8)))
}

#[test]
fn every_byte_of_a_record_its_path_and_its_revision_counts() {
    let world = World::new();
    let (cluster, _door) = world.start(1);
    cluster.activate();
    cluster.create_user("alice").unwrap();
    cluster.create_user("bob").unwrap();
    cluster.delete_user("alice").unwrap();
    drop(cluster);
    let setup = world.setup(1);
    let root_key = RootKey::read(&setup.root_key).unwrap();
    let whole = world.store.load().unwrap();
    assert!(whole.records.len() >= 8, "{}", whole.records.len());
    assert!(refusal(&root_key, &setup, &whole).is_none());
    for (at, record) in whole.records.iter().enumerate() {
        let path = record.path;
        let altered = |record: StoredRecord| {
            let mut loaded = whole.clone();
            loaded.records[at] = record;
            refusal(&root_key, &setup, &loaded)
        };
        for (byte, mask) in bits(record.sealed.len()) {
            let mut other = record.clone();
            other.sealed[byte] ^= mask;
            let refusal = altered(other).unwrap_or_else(|| panic!("byte {byte} of {path}: {mask:02x} unnoticed"));
            assert!(refusal.to_string().contains(&path.to_string()), "byte {byte} of {path}: {refusal}");
        }
        for (byte, mask) in bits(RecordPath::LEN) {
            let mut bytes = path.to_bytes();
            bytes[byte] ^= mask;
            // A kind that is none is refused by the store already.
            let Ok(moved) = RecordPath::try_from(&bytes[..]) else { continue };
            let refusal = altered(StoredRecord { path: moved, ..record.clone() });
            assert!(refusal.is_some(), "{path} moved to {moved} unnoticed");
        }
        for (byte, mask) in bits(8) {
            let mut bytes = record.revision.0.to_be_bytes();
            bytes[byte] ^= mask;
            let revision = Revision(u64::from_be_bytes(bytes));
            let refusal = altered(StoredRecord { revision, ..record.clone() });
            let refusal = refusal.unwrap_or_else(|| panic!("{path} of {revision} unnoticed"));
            if path != RecordPath::CLUSTER_KEY {
                let (path, revision) = (path.to_string(), revision.to_string());
                assert!(refusal.to_string().contains(&path) && refusal.to_string().contains(&revision), "{refusal}");
            }
        }
    }
    for (byte, mask) in bits(8) {
        let mut bytes = whole.revision.0.to_be_bytes();
        bytes[byte] ^= mask;
        let revision = Revision(u64::from_be_bytes(bytes));
        let loaded = Loaded { revision, ..whole.clone() };
        assert!(refusal(&root_key, &setup, &loaded).is_some(), "the store's revision {revision} unnoticed");
    }
}
