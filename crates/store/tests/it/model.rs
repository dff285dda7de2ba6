//! The two stores, given the same batches, say the same.

use strongroom_store::contract::DELETIONS_KEPT;
use strongroom_store::{Changes, Store, StoreError};
use strongroom_types::{RecordKind, RecordPath, Revision};

use crate::{memory_world, sqlite_world};

/// The same numbers in every run: Knuth's multiplier, the upper bits.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn path(number: u64) -> RecordPath {
    let kind = if number.is_multiple_of(2) { RecordKind::Key } else { RecordKind::Head };
    RecordPath { kind, id: u128::from(number).to_be_bytes() }
}

fn batch(numbers: &mut Numbers) -> (Vec<(RecordPath, Vec<u8>)>, Vec<RecordPath>) {
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    for number in 0..12 {
        match numbers.below(8) {
            0 => deletes.push(path(number)),
            1 => puts.push((path(number), vec![7; usize::try_from(numbers.below(5_000)).expect("small")])),
            _ => {}
        }
    }
    (puts, deletes)
}

#[test]
fn both_stores_answer_alike() {
    for seed in 0..6 {
        let mut numbers = Numbers(seed);
        let (memory, sqlite) = (memory_world(), sqlite_world());
        let (memory, sqlite, reopened) = (memory(), sqlite(), sqlite);
        for revision in (0..40).map(Revision) {
            let (puts, deletes) = batch(&mut numbers);
            let told = |store: &dyn Store| store.commit(revision, &puts, &deletes).expect("committed");
            assert_eq!((told(memory.as_ref()), told(sqlite.as_ref())), (revision.next(), revision.next()));
            assert!(sqlite.load().expect("loads") == memory.load().expect("loads"), "seed {seed}, {revision}");
            for seen in (0..=revision.next().0).map(Revision) {
                let told = |store: &dyn Store| store.changes_since(seen).expect("read");
                match (told(sqlite.as_ref()), told(memory.as_ref())) {
                    // Either may forget as early as it is allowed to.
                    (Changes::TooOld, _) | (_, Changes::TooOld) => assert!(seen.0 + DELETIONS_KEPT < revision.next().0),
                    (one, other) => assert!(one == other, "seed {seed}, {revision}, since {seen}"),
                }
            }
            let ahead = revision.next().next();
            assert!(matches!(sqlite.changes_since(ahead), Err(StoreError::WentBack { .. })));
        }
        drop(sqlite);
        assert!(reopened().load().expect("loads") == memory.load().expect("loads"), "seed {seed}, opened again");
    }
}
