use strongroom_types::{HsmId, Incarnation, Revision};

use crate::member::{Acknowledgements, Entry, LeaseKind};

const LEASE: u64 = 1_000;

fn entry(number: u8, applied: u64, beat: u64) -> Entry {
    Entry {
        hsm_id: HsmId::from_random([number; 7]),
        incarnation: Incarnation::from_bytes([number; 16]),
        applied: Revision(applied),
        beat,
    }
}

const OWN: Option<Incarnation> = None;

fn waiting(kind: LeaseKind, revisions: &[u64]) -> Acknowledgements<u64> {
    let mut waiting = Acknowledgements::new(kind, LEASE);
    revisions.iter().for_each(|revision| waiting.wait_for(*revision, Revision(*revision)));
    waiting
}

#[test]
fn a_change_is_answered_when_every_entry_shows_it_or_is_gone() {
    let check = |entries: &[Entry], expected: &[u64]| {
        let mut waiting = waiting(LeaseKind::Held, &[5, 7]);
        let mark = waiting.begin_read();
        let seen = waiting.read(mark, entries, OWN, 0);
        assert_eq!(seen.reached, expected, "{entries:?}");
        assert_eq!(waiting.is_empty(), expected.len() == 2);
    };
    check(&[entry(1, 7, 0), entry(2, 7, 0)], &[5, 7]);
    check(&[entry(1, 7, 0), entry(2, 6, 0)], &[5]);
    check(&[entry(1, 7, 0), entry(2, 4, 0)], &[]);
    check(&[entry(1, 4, 0), entry(2, 9, 0)], &[]);
    check(&[entry(1, 9, 0)], &[5, 7]);
    check(&[], &[5, 7]);
}

#[test]
fn a_read_that_began_before_the_commit_proves_nothing() {
    let mut waiting = waiting(LeaseKind::Held, &[]);
    let mark = waiting.begin_read();
    waiting.wait_for(5, Revision(5));
    // A member may have joined between that read and the commit.
    assert!(waiting.read(mark, &[entry(1, 9, 0)], OWN, 0).reached.is_empty());
    let mark = waiting.begin_read();
    assert_eq!(waiting.read(mark, &[entry(1, 9, 0)], OWN, 0).reached, [5]);
}

#[test]
fn a_change_given_up_is_not_answered() {
    let mut waiting = waiting(LeaseKind::Held, &[5, 6]);
    assert!(waiting.withdraw(&5) && !waiting.withdraw(&5));
    let mark = waiting.begin_read();
    assert_eq!(waiting.read(mark, &[], OWN, 0).reached, [6]);
    let mut waiting = self::waiting(LeaseKind::Held, &[5, 6]);
    assert_eq!(waiting.take_all(), [5, 6]);
    assert!(waiting.is_empty());
}

/// Who is fenced at each of these times, the entry being as given then.
fn fenced(kind: LeaseKind, own: Option<Incarnation>, story: &[(u64, Entry)]) -> Vec<bool> {
    let mut waiting = waiting(kind, &[5]);
    let look = |(now_ms, entry): &(u64, Entry)| {
        let mark = waiting.begin_read();
        let seen = waiting.read(mark, std::slice::from_ref(entry), own, *now_ms);
        assert!(seen.fence.is_empty() || seen.fence == [entry.clone()]);
        !seen.fence.is_empty()
    };
    story.iter().map(look).collect()
}

#[test]
fn who_keeps_a_change_waiting_for_longer_than_a_lease_is_fenced() {
    // On one host it does not matter that the entry is renewed: the member does not apply.
    let story =
        [(0, entry(2, 4, 0)), (LEASE, entry(2, 4, 1)), (LEASE + 1, entry(2, 4, 2)), (LEASE + 2, entry(2, 4, 3))];
    assert_eq!(fenced(LeaseKind::Held, OWN, &story), [false, false, true, false]);
    // Fencing that failed is tried again after as long.
    let again = [(0, entry(2, 4, 0)), (LEASE + 1, entry(2, 4, 0)), (2 * LEASE + 2, entry(2, 4, 0))];
    assert_eq!(fenced(LeaseKind::Held, OWN, &again), [false, true, true]);
}

#[test]
fn who_cannot_show_a_change_itself_fences_nobody_for_it() {
    let own = entry(1, 4, 0).incarnation;
    let mut waiting = waiting(LeaseKind::Held, &[5]);
    let mut fenced_at = |now_ms: u64, own_applied: u64| {
        let mark = waiting.begin_read();
        let seen = waiting.read(mark, &[entry(1, own_applied, 0), entry(2, 4, 0)], Some(own), now_ms);
        assert!(seen.reached.is_empty());
        seen.fence.len()
    };
    assert_eq!([fenced_at(0, 4), fenced_at(LEASE + 1, 4), fenced_at(9 * LEASE, 4)], [0, 0, 0]);
    // When it can, the other has a lease from then on.
    assert_eq!([fenced_at(9 * LEASE + 1, 5), fenced_at(10 * LEASE, 5), fenced_at(10 * LEASE + 2, 5)], [0, 0, 1]);
}

#[test]
fn who_moves_on_gets_a_lease_anew() {
    let story =
        [(0, entry(2, 3, 0)), (LEASE, entry(2, 4, 0)), (LEASE + 1, entry(2, 4, 0)), (2 * LEASE + 1, entry(2, 4, 0))];
    assert_eq!(fenced(LeaseKind::Held, OWN, &story), [false, false, false, true]);
    // Another incarnation is another member.
    let mut other = entry(2, 4, 0);
    other.incarnation = Incarnation::from_bytes([99; 16]);
    let story =
        [(0, entry(2, 4, 0)), (LEASE + 1, other.clone()), (2 * LEASE + 1, other.clone()), (2 * LEASE + 2, other)];
    assert_eq!(fenced(LeaseKind::Held, OWN, &story), [false, false, false, true]);
}

#[test]
fn where_clocks_decide_only_an_entry_whose_lease_has_surely_run_out_is_fenced() {
    let patience = LEASE + LEASE / 10;
    let story =
        [(0, entry(2, 4, 7)), (LEASE + 1, entry(2, 4, 7)), (patience, entry(2, 4, 7)), (patience + 1, entry(2, 4, 7))];
    assert_eq!(fenced(LeaseKind::Timed, OWN, &story), [false, false, false, true]);
    let renewed = [
        (0, entry(2, 4, 7)),
        (LEASE, entry(2, 4, 8)),
        (patience + 1, entry(2, 4, 8)),
        (LEASE + patience + 1, entry(2, 4, 8)),
    ];
    assert_eq!(fenced(LeaseKind::Timed, OWN, &renewed), [false, false, false, true]);
}

#[test]
fn nobody_is_fenced_without_a_change_that_waits_for_them() {
    let mut waiting = waiting(LeaseKind::Held, &[]);
    for now_ms in [0, LEASE + 1, 9 * LEASE] {
        let mark = waiting.begin_read();
        assert!(waiting.read(mark, &[entry(2, 0, 0)], OWN, now_ms).fence.is_empty());
    }
    // Being behind before the change came does not count.
    waiting.wait_for(5, Revision(5));
    let mark = waiting.begin_read();
    assert!(waiting.read(mark, &[entry(2, 0, 0)], OWN, 9 * LEASE).fence.is_empty());
    let own = [(0, entry(1, 4, 0)), (9 * LEASE, entry(1, 4, 0))];
    assert_eq!(fenced(LeaseKind::Held, Some(entry(1, 0, 0).incarnation), &own), [false, false]);
}
