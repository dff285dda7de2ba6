use strongroom_types::Revision;

use crate::member::{Anchor, AnchorFound, NewEpoch, RollbackRefusal, new_epoch};

fn anchor(epoch: u64, revision: u64) -> Anchor {
    Anchor { epoch, revision: Revision(revision), head_digest: [0xa; 32] }
}

/// What comes of naming the store's revision.
fn accepted(store: Anchor, found: &[AnchorFound]) -> Result<(u64, u64), RollbackRefusal> {
    let outcome = new_epoch(&store, found, store.revision);
    outcome.map(|NewEpoch { epoch, revision: Revision(revision) }| (epoch, revision))
}

#[test]
fn a_new_epoch_is_above_all_that_anybody_has_seen() {
    use AnchorFound::{Damaged, Missing, New, Seen};
    let check = |store, found: &[AnchorFound], expected| assert_eq!(accepted(store, found), Ok(expected), "{found:?}");
    check(anchor(1, 7), &[Seen(anchor(1, 9))], (2, 1_000_000_000));
    check(anchor(1, 7), &[Seen(anchor(1, 5)), Seen(anchor(1, 8))], (2, 1_000_000_000));
    check(anchor(1, 7), &[Seen(anchor(1, 500_000_000))], (2, 1_000_000_000));
    check(anchor(1, 7), &[Seen(anchor(1, 500_000_001))], (2, 2_000_000_000));
    check(anchor(1, 7), &[Seen(anchor(1, 999_999_999))], (2, 2_000_000_000));
    // The store before a rollback, put back after it.
    check(anchor(1, 900), &[Seen(anchor(2, 1_000_000_004)), Seen(anchor(1, 901))], (3, 2_000_000_000));
    // Another history of the same length.
    check(anchor(1, 7), &[Seen(Anchor { head_digest: [0xb; 32], ..anchor(1, 7) })], (2, 1_000_000_000));
    for lost in [Damaged, Missing] {
        check(anchor(1, 7), &[New, Seen(anchor(1, 7)), lost], (2, 1_000_000_000));
    }
}

#[test]
fn nothing_is_accepted_unless_an_hsm_objects() {
    use AnchorFound::{New, Seen};
    let check = |store: Anchor, found: &[AnchorFound]| {
        assert_eq!(accepted(store, found), Err(RollbackRefusal::Nothing(store.revision)), "{found:?}");
    };
    check(anchor(1, 7), &[]);
    check(anchor(1, 7), &[New]);
    check(anchor(1, 7), &[Seen(anchor(1, 7)), Seen(anchor(1, 3))]);
    check(anchor(2, 7), &[Seen(anchor(1, 9)), Seen(anchor(2, 7))]);
}

#[test]
fn the_revision_that_is_accepted_has_to_be_named() {
    let found = [AnchorFound::Seen(anchor(1, 9))];
    for named in [0, 6, 8, 9] {
        let refusal = RollbackRefusal::Revision { store: Revision(7), named: Revision(named) };
        assert_eq!(new_epoch(&anchor(1, 7), &found, Revision(named)), Err(refusal));
    }
}

#[test]
fn numbers_end_before_they_begin_anew() {
    let check = |seen| assert_eq!(accepted(anchor(1, 7), &[AnchorFound::Seen(seen)]), Err(RollbackRefusal::End));
    check(anchor(u64::MAX, 9));
    check(anchor(1, u64::MAX));
    check(anchor(1, u64::MAX - 1));
    check(anchor(1, i64::MAX.unsigned_abs()));
}
