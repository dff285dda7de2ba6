//! What the model takes for granted: who has watched an entry for a lease and a tenth finds that its member's lease is
//! over, if the clocks' rates differ by a tenth at most. Here both have real clocks, which count whole milliseconds.

use strongroom_core::member::{Acknowledgements, Entry, LeaseKind, Life, Step};
use strongroom_types::{HsmId, Incarnation, Revision};

/// A clock that reads `offset + time * rate / 110`, `time` in hundredths of a millisecond.
#[derive(Clone, Copy)]
struct Clock {
    offset: u64,
    rate: u64,
}

impl Clock {
    fn reads(self, time: u64) -> u64 {
        (self.offset + time * self.rate / 110) / 100
    }
}

/// When the member's lease is over by its clock, and when a watcher that saw the entry at once takes it away.
fn over_and_fenced(lease_ms: u64, member: Clock, watcher: Clock, watched_lease_ms: u64) -> (u64, u64) {
    let mut life = Life::new(LeaseKind::Timed, lease_ms, Revision(0));
    assert_eq!(life.next(member.reads(0)), Step::Join);
    life.joined(member.reads(0));
    life.newest(Revision(0));
    life.next(member.reads(0));
    assert_eq!(life.serves(member.reads(0)), Some(1));
    let mut waiting = Acknowledgements::new(LeaseKind::Timed, watched_lease_ms);
    waiting.wait_for((), Revision(1));
    let entry = Entry {
        hsm_id: HsmId::from_random([1; 7]),
        incarnation: Incarnation::from_bytes([1; 16]),
        applied: Revision(0),
        beat: 1,
    };
    let mut fences = |time: u64| {
        let mark = waiting.begin_read();
        !waiting.read(mark, std::slice::from_ref(&entry), None, watcher.reads(time)).fence.is_empty()
    };
    assert!(!fences(0));
    let first = |is: &mut dyn FnMut(u64) -> bool| (0..).step_by(10).find(|time| is(*time)).expect("time passes");
    let over = first(&mut |time| life.serves(member.reads(time)).is_none());
    (over, first(&mut fences))
}

#[test]
fn an_entry_watched_for_a_lease_and_a_tenth_is_of_a_lease_that_is_over() {
    for lease_ms in (1..60).chain([97, 100, 101, 250]) {
        for (slow, fast) in [(100, 110), (100, 100), (110, 100), (105, 110)] {
            for offset in [0, 1, 37, 50, 99] {
                let (member, watcher) = (Clock { offset, rate: slow }, Clock { offset: 99 - offset, rate: fast });
                let (over, fenced) = over_and_fenced(lease_ms, member, watcher, lease_ms);
                assert!(over <= fenced, "a lease of {lease_ms} ms, rates {slow} and {fast}: {over}, {fenced}");
            }
        }
    }
}

#[test]
fn without_the_tenth_it_is_not() {
    // A test of the test: a watcher that waits for a lease alone, given one that with its tenth is as long.
    let (member, watcher) = (Clock { offset: 0, rate: 100 }, Clock { offset: 99, rate: 110 });
    let watched_lease_ms = (1..1_000).rev().find(|lease| LeaseKind::Timed.patience_ms(*lease) <= 1_000);
    let (over, fenced) = over_and_fenced(1_000, member, watcher, watched_lease_ms.expect("there are shorter ones"));
    assert!(fenced < over, "{fenced}, {over}");
}
