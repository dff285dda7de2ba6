use strongroom_types::{RecordKind, RecordPath, Revision};

use crate::Head;
use crate::member::{CorruptLedger, Entered, Ledger, Mac};

fn path(number: u8) -> RecordPath {
    RecordPath { kind: RecordKind::Key, id: [number; 16] }
}

fn mac(number: u8, revision: u64) -> Mac {
    let mut mac = [number; 32];
    mac[0] = u8::try_from(revision).unwrap();
    mac
}

fn entered(number: u8, revision: u64) -> Entered {
    Entered { path: path(number), revision: Revision(revision), mac: mac(number, revision) }
}

/// The step that writes and removes these, as the member that commits it makes it.
fn head(ledger: &Ledger, puts: &[Entered], deletes: &[RecordPath]) -> Head {
    let macs: Vec<(RecordPath, Mac)> = puts.iter().map(|record| (record.path, record.mac)).collect();
    ledger.next(1_000, &macs, deletes).unwrap()
}

fn step(ledger: &mut Ledger, puts: &[Entered], deletes: &[RecordPath]) {
    let head = head(ledger, puts, deletes);
    ledger.follow(Some(head), head.revision, puts, deletes).unwrap();
}

/// At revision 3: records 1 (written again at 2), 2 and 4; record 3 came and went.
fn ledger() -> Ledger {
    let mut ledger = Ledger::empty(1);
    step(&mut ledger, &[entered(1, 1), entered(2, 1), entered(3, 1)], &[]);
    step(&mut ledger, &[entered(1, 2)], &[]);
    step(&mut ledger, &[entered(4, 3)], &[path(3)]);
    ledger
}

const WHOLE: [(u8, u64); 3] = [(1, 2), (2, 1), (4, 3)];

#[test]
fn a_whole_store_loads_and_everything_else_does_not() {
    let head = *ledger().head();
    let records: Vec<Entered> = WHOLE.iter().map(|(number, revision)| entered(*number, *revision)).collect();
    assert_eq!(Ledger::load(head, 1, Revision(3), &records), Ok(ledger()));
    let check = |head: Head, epoch, revision, records: &[Entered], expected: CorruptLedger| {
        assert_eq!(Ledger::load(head, epoch, Revision(revision), records), Err(expected));
    };
    let [one, two, four] = [records[0], records[1], records[2]];
    check(head, 1, 3, &records[1..], CorruptLedger::Count { revision: Revision(3), found: 2, counted: 3 });
    check(
        head,
        1,
        3,
        &[one, two, four, entered(3, 1)],
        CorruptLedger::Count { revision: Revision(3), found: 4, counted: 3 },
    );
    check(head, 1, 3, &[entered(1, 1), two, four], CorruptLedger::Sum(Revision(3)));
    check(head, 1, 3, &[one, two, entered(3, 1)], CorruptLedger::Sum(Revision(3)));
    check(head, 1, 3, &[one, one, four], CorruptLedger::Twice(path(1)));
    check(head, 1, 4, &records, CorruptLedger::Revision { head: Revision(3), store: Revision(4) });
    check(head, 1, 2, &records, CorruptLedger::Revision { head: Revision(3), store: Revision(2) });
    check(head, 2, 3, &records, CorruptLedger::Epoch { head: 1, cluster: 2 });
    let future = Entered { revision: Revision(4), ..two };
    check(head, 1, 3, &[one, future, four], CorruptLedger::RecordRevision { path: path(2), revision: Revision(4) });
    let never = Entered { revision: Revision(0), ..two };
    check(head, 1, 3, &[one, never, four], CorruptLedger::RecordRevision { path: path(2), revision: Revision(0) });
    let older = Head { count: 2, ..head };
    check(older, 1, 3, &records, CorruptLedger::Count { revision: Revision(3), found: 3, counted: 2 });
}

#[test]
fn several_revisions_are_followed_in_one_step() {
    let mut behind = Ledger::empty(1);
    step(&mut behind, &[entered(1, 1), entered(2, 1), entered(3, 1)], &[]);
    let target = ledger();
    // Deletions may name what was never seen here.
    let (puts, deletes) = ([entered(1, 2), entered(4, 3)], [path(3), path(9)]);
    behind.follow(Some(*target.head()), Revision(3), &puts, &deletes).unwrap();
    assert_eq!(behind, target);
    assert_eq!(behind.follow(None, Revision(3), &[], &[]), Ok(()));
}

#[test]
fn a_step_that_is_not_what_its_head_says_changes_nothing() {
    let target = {
        let mut target = ledger();
        step(&mut target, &[entered(1, 4), entered(5, 4)], &[path(2)]);
        target
    };
    let head = *target.head();
    let (puts, deletes) = ([entered(1, 4), entered(5, 4)], [path(2)]);
    let check = |head: Option<Head>, revision, puts: &[Entered], deletes: &[RecordPath], expected: CorruptLedger| {
        let mut ledger = ledger();
        assert_eq!(ledger.follow(head, Revision(revision), puts, deletes), Err(expected));
        assert_eq!(ledger, self::ledger());
    };
    check(None, 4, &puts, &deletes, CorruptLedger::NoHead(Revision(4)));
    check(None, 3, &puts, &[], CorruptLedger::NoHead(Revision(3)));
    check(None, 4, &[], &[], CorruptLedger::NoHead(Revision(4)));
    check(Some(head), 4, &puts[..1], &deletes, CorruptLedger::Count { revision: Revision(4), found: 2, counted: 3 });
    check(Some(head), 4, &puts, &[], CorruptLedger::Count { revision: Revision(4), found: 4, counted: 3 });
    check(Some(head), 4, &puts, &[path(4)], CorruptLedger::Sum(Revision(4)));
    check(Some(head), 4, &[entered(1, 4), entered(6, 4)], &deletes, CorruptLedger::Sum(Revision(4)));
    check(Some(head), 4, &puts, &[path(2), path(5)], CorruptLedger::Twice(path(5)));
    check(Some(head), 4, &[puts[0], puts[0]], &deletes, CorruptLedger::Twice(path(1)));
    check(Some(head), 5, &puts, &deletes, CorruptLedger::Revision { head: Revision(4), store: Revision(5) });
    let old = Entered { revision: Revision(3), ..puts[1] };
    let expected = CorruptLedger::RecordRevision { path: path(5), revision: Revision(3) };
    check(Some(head), 4, &[puts[0], old], &deletes, expected);
    let future = Entered { revision: Revision(5), ..puts[1] };
    let expected = CorruptLedger::RecordRevision { path: path(5), revision: Revision(5) };
    check(Some(head), 4, &[puts[0], future], &deletes, expected);
    check(Some(Head { epoch: 2, ..head }), 4, &puts, &deletes, CorruptLedger::Epoch { head: 2, cluster: 1 });
    check(Some(Head { time_ms: 999, ..head }), 4, &puts, &deletes, CorruptLedger::Time);
    let current = *ledger().head();
    let expected = CorruptLedger::Revision { head: Revision(3), store: Revision(3) };
    check(Some(current), 3, &[], &[], expected);
}
