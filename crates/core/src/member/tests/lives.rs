use strongroom_types::Revision;

use crate::member::{LeaseKind, Life, Step};

const LEASE: u64 = 9_000;

fn joined(kind: LeaseKind) -> Life {
    let mut life = Life::new(kind, LEASE, Revision(5));
    assert_eq!(life.next(0), Step::Join);
    life.joined(0);
    life
}

/// Serving at revision 5, joined at time 0.
fn serving(kind: LeaseKind) -> Life {
    let mut life = joined(kind);
    assert_eq!(life.next(1), Step::ReadNewest);
    life.newest(Revision(5));
    assert!(matches!(life.next(2), Step::Rest(_)));
    life
}

#[test]
fn a_member_serves_once_it_has_what_was_newest_after_its_join() {
    for kind in [LeaseKind::Held, LeaseKind::Timed] {
        let mut life = joined(kind);
        assert_eq!(life.serves(0), None);
        assert_eq!(life.next(1), Step::ReadNewest);
        // Reading may take its time.
        assert_eq!(life.next(2), Step::ReadNewest);
        life.newest(Revision(7));
        assert_eq!(life.next(3), Step::CatchUp(Revision(7)));
        life.applied(Revision(6));
        assert_eq!(life.next(4), Step::CatchUp(Revision(7)));
        assert_eq!(life.serves(4), None);
        life.applied(Revision(8));
        assert_eq!(life.next(5), Step::Renew, "what was applied is shown at once");
        assert_eq!(life.serves(5), Some(1));
        life.renewed(Revision(8), 5);
        assert_eq!(life.next(6), Step::Rest(5 + LEASE / 3 - 6));
    }
}

#[test]
fn a_newest_revision_read_before_the_join_counts_for_nothing() {
    let mut life = Life::new(LeaseKind::Timed, LEASE, Revision(5));
    life.newest(Revision(5));
    assert_eq!(life.next(0), Step::Join);
    life.joined(0);
    assert_eq!(life.next(1), Step::ReadNewest);
}

#[test]
fn an_entry_is_renewed_every_third_of_a_lease_also_while_catching_up() {
    let mut life = joined(LeaseKind::Timed);
    life.newest(Revision(100));
    assert_eq!(life.next(LEASE / 3 - 1), Step::CatchUp(Revision(100)));
    assert_eq!(life.next(LEASE / 3), Step::Renew);
    life.renewed(Revision(5), LEASE / 3);
    assert_eq!(life.next(LEASE / 3 + 1), Step::CatchUp(Revision(100)));
    life.applied(Revision(100));
    assert_eq!(life.next(LEASE / 3 + 2), Step::Renew);
}

#[test]
fn a_lease_that_ran_out_is_never_renewed() {
    let mut life = serving(LeaseKind::Timed);
    assert_eq!((life.serves(LEASE - 1), life.serves(LEASE)), (Some(1), None));
    assert_eq!(life.next(LEASE), Step::Join);
    // Even though the clock, for whoever asks with an older one, says otherwise.
    assert_eq!(life.serves(1), None);
    life.joined(LEASE + 10);
    assert_eq!(life.next(LEASE + 11), Step::ReadNewest);
    life.newest(Revision(5));
    life.next(LEASE + 12);
    assert_eq!(life.serves(LEASE + 12), Some(2), "another life");
    assert_eq!(life.until_ms(), Some(LEASE + 10 + LEASE));
}

#[test]
fn a_lease_runs_from_when_the_renewal_began() {
    let mut life = serving(LeaseKind::Timed);
    life.applied(Revision(6));
    assert_eq!(life.next(1_000), Step::Renew);
    // The answer came late.
    life.renewed(Revision(6), 1_000);
    assert_eq!((life.serves(1_000 + LEASE - 1), life.serves(1_000 + LEASE)), (Some(1), None));
}

#[test]
fn an_entry_held_by_the_process_needs_no_clock() {
    let mut life = serving(LeaseKind::Held);
    assert_eq!(life.serves(u64::MAX), Some(1));
    assert_eq!(life.until_ms(), None);
    assert_eq!(life.next(100 * LEASE), Step::Renew);
    life.fenced();
    assert_eq!(life.serves(0), None);
    assert_eq!(life.next(100 * LEASE), Step::Join);
}

#[test]
fn what_cannot_be_shown_is_tried_again_after_a_pause() {
    let mut life = serving(LeaseKind::Held);
    life.applied(Revision(6));
    assert_eq!(life.next(100), Step::Renew);
    // The anchor could not be written: the entry was renewed with what it showed before.
    life.renewed(Revision(5), 100);
    assert_eq!(life.next(101), Step::Rest(100 + LEASE / 10 - 101));
    assert_eq!(life.next(100 + LEASE / 10), Step::Renew);
    life.renewed(Revision(6), 1_000);
    life.applied(Revision(7));
    assert_eq!(life.next(1_001), Step::Renew, "once it works again there is no pause");
    life.renew_failed(1_001);
    assert_eq!(life.next(1_002), Step::Rest(1_001 + LEASE / 10 - 1_002));
    assert_eq!(life.serves(1_002), Some(1));
}

#[test]
fn a_fenced_member_that_was_catching_up_begins_anew() {
    let mut life = joined(LeaseKind::Timed);
    life.newest(Revision(9));
    life.fenced();
    assert_eq!(life.next(1), Step::Join);
    assert!(!life.has_served() && serving(LeaseKind::Timed).has_served());
}

#[test]
fn applied_never_goes_back() {
    let mut life = serving(LeaseKind::Held);
    life.applied(Revision(4));
    assert!(matches!(life.next(3), Step::Rest(_)));
}
