//! What every [`Store`] keeps, as tests: one suite that runs on each implementation.
//!
//! ```text
//! strongroom_store::contract_tests!(make_world);
//! ```
//!
//! `make_world` is a function that makes a new, empty store that remembers deletions for [`DELETIONS_KEPT`] revisions, and
//! answers how to open a door to it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::missing_panics_doc, reason = "these are tests")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_types::limits::RECORD_LEN_MAX;
use strongroom_types::{HsmId, RecordKind, RecordPath, Revision};

use crate::{
    BATCH_RECORDS_MAX, BatchError, Changes, CommitError, Delta, FenceError, JoinError, Moment, RenewError, Store,
    StoreError,
};

/// For how many revisions the stores of the suite remember deletions.
pub const DELETIONS_KEPT: u64 = 5;
/// How long to wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens doors to one store.
pub type Doors = Box<dyn Fn() -> Arc<dyn Store>>;

/// Makes a test of each promise.
#[macro_export]
macro_rules! contract_tests {
    ($make:path) => {
        $crate::contract_tests!($make:
            revisions_are_one_sequence,
            a_conflict_writes_nothing,
            batches_are_bounded,
            what_was_written_is_loaded,
            changes_are_collapsed,
            deletions_are_forgotten_in_time,
            a_future_revision_means_that_the_store_went_back,
            racing_doors_lose_no_update,
            reading_beside_a_commit_never_goes_back,
            a_commit_wakes_who_waits,
            entries_wake_who_waits,
            waiting_ends,
            members_join_renew_and_leave,
            an_hsm_joins_once,
            fencing_knows_whom_it_may,
            who_asked_goes_first,
            nobody_waits_for_long_or_for_the_dead,
        );
    };
    ($make:path: $($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::contract::$name(&$make());
            }
        )*
    };
}

fn path(number: u8) -> RecordPath {
    RecordPath { kind: RecordKind::Key, id: [number; 16] }
}

fn put(number: u8, content: &[u8]) -> (RecordPath, Vec<u8>) {
    (path(number), content.to_vec())
}

fn hsm(number: u8) -> HsmId {
    HsmId::from_random([number; 7])
}

fn since(store: &dyn Store, seen: u64) -> Delta {
    match store.changes_since(Revision(seen)).unwrap() {
        Changes::Since(delta) => delta,
        Changes::TooOld => panic!("revision {seen} is not too old"),
    }
}

/// Records as path number, revision and content.
fn told(records: &[crate::StoredRecord]) -> Vec<(u8, u64, &[u8])> {
    records.iter().map(|record| (record.path.id[0], record.revision.0, record.sealed.as_slice())).collect()
}

/// An empty store is at revision 0; each commit takes it one further, seen through every door at once.
pub fn revisions_are_one_sequence(doors: &Doors) {
    let (one, other) = (doors(), doors());
    assert_eq!(one.revision().unwrap(), Revision(0));
    assert_eq!(one.load().unwrap().records, []);
    for number in 0..6 {
        let (door, expected) = (if number % 2 == 0 { &one } else { &other }, Revision(number));
        assert_eq!(door.commit(expected, &[put(1, &[1])], &[]).unwrap(), expected.next());
        assert_eq!((one.revision().unwrap(), other.revision().unwrap()), (expected.next(), expected.next()));
    }
    assert_eq!(one.commit(Revision(6), &[], &[]).unwrap(), Revision(7));
}

/// A commit on top of anything but the newest revision names the newest and changes nothing.
pub fn a_conflict_writes_nothing(doors: &Doors) {
    let (one, other) = (doors(), doors());
    one.commit(Revision(0), &[put(1, b"one")], &[]).unwrap();
    for wrong in [0, 2, u64::MAX] {
        let error = other.commit(Revision(wrong), &[put(1, b"other"), put(2, b"new")], &[path(1)]);
        // A path twice is refused before anything is read.
        assert!(matches!(error, Err(CommitError::Refused(BatchError::PathTwice { .. }))));
        let error = other.commit(Revision(wrong), &[put(2, b"new")], &[path(1)]).unwrap_err();
        assert!(matches!(error, CommitError::Conflict { newest: Revision(1) }), "{error}");
    }
    assert_eq!(told(&one.load().unwrap().records), [(1, 1, &b"one"[..])]);
}

/// Bounds at, and above.
pub fn batches_are_bounded(doors: &Doors) {
    let store = doors();
    let many = |len: usize| (0..len).map(|number| put(u8::try_from(number).unwrap(), b"x")).collect::<Vec<_>>();
    let error = store.commit(Revision(0), &many(BATCH_RECORDS_MAX), &[path(200)]).unwrap_err();
    assert!(matches!(error, CommitError::Refused(BatchError::TooManyRecords { .. })), "{error}");
    let error = store.commit(Revision(0), &[put(1, &vec![0; RECORD_LEN_MAX + 1])], &[]).unwrap_err();
    assert!(matches!(error, CommitError::Refused(BatchError::RecordTooLong { .. })), "{error}");
    assert_eq!(store.revision().unwrap(), Revision(0));
    store.commit(Revision(0), &many(BATCH_RECORDS_MAX), &[]).unwrap();
    store.commit(Revision(1), &[put(1, &vec![7; RECORD_LEN_MAX])], &[path(2), path(250)]).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.records.len(), BATCH_RECORDS_MAX - 1);
    assert_eq!(loaded.records[1].sealed.len(), RECORD_LEN_MAX);
}

/// Loading shows every record in its newest form, ordered by path, and no deleted one.
pub fn what_was_written_is_loaded(doors: &Doors) {
    let store = doors();
    store.commit(Revision(0), &[put(3, b"c"), put(1, b"a"), put(2, &[])], &[]).unwrap();
    store.commit(Revision(1), &[put(3, b"cc")], &[path(1)]).unwrap();
    let other_kind = RecordPath { kind: RecordKind::User, id: [3; 16] };
    store.commit(Revision(2), &[(other_kind, b"u".to_vec())], &[]).unwrap();
    let loaded = doors().load().unwrap();
    assert_eq!(loaded.revision, Revision(3));
    let expected: Vec<(RecordPath, Revision, &[u8])> =
        vec![(other_kind, Revision(3), b"u"), (path(2), Revision(1), &[]), (path(3), Revision(2), b"cc")];
    let found: Vec<_> =
        loaded.records.iter().map(|record| (record.path, record.revision, record.sealed.as_slice())).collect();
    assert_eq!(found, expected);
}

/// What leads from one revision to the newest names each path once, in its newest form.
pub fn changes_are_collapsed(doors: &Doors) {
    let (store, other) = (doors(), doors());
    store.commit(Revision(0), &[put(1, b"a"), put(2, b"b")], &[]).unwrap();
    store.commit(Revision(1), &[put(1, b"aa")], &[path(2)]).unwrap();
    store.commit(Revision(2), &[put(2, b"back"), put(3, b"c")], &[]).unwrap();
    store.commit(Revision(3), &[], &[path(3), path(9)]).unwrap();
    let all = since(other.as_ref(), 0);
    assert_eq!(all.revision, Revision(4));
    assert_eq!(told(&all.puts), [(1, 2, &b"aa"[..]), (2, 3, b"back")]);
    assert_eq!(all.deletes, [path(3)]);
    let late = since(other.as_ref(), 2);
    assert_eq!((told(&late.puts), late.deletes), (vec![(2, 3, &b"back"[..])], vec![path(3)]));
    let nothing = since(other.as_ref(), 4);
    assert_eq!((nothing.revision, nothing.puts.len(), nothing.deletes.len()), (Revision(4), 0, 0));
}

/// Who is too far behind loads anew; who is not is told every deletion.
pub fn deletions_are_forgotten_in_time(doors: &Doors) {
    let store = doors();
    store.commit(Revision(0), &[put(1, b"a"), put(2, b"b")], &[]).unwrap();
    store.commit(Revision(1), &[], &[path(1)]).unwrap();
    let mut newest = Revision(2);
    while newest.0 < 1 + DELETIONS_KEPT {
        newest = store.commit(newest, &[put(2, b"b")], &[]).unwrap();
    }
    assert_eq!(since(store.as_ref(), 1).deletes, [path(1)]);
    newest = store.commit(newest, &[put(2, b"b")], &[]).unwrap();
    assert_eq!(store.changes_since(Revision(1)).unwrap(), Changes::TooOld);
    assert_eq!(store.changes_since(Revision(0)).unwrap(), Changes::TooOld);
    assert!(since(store.as_ref(), 2).deletes.is_empty());
    assert_eq!(store.load().unwrap().revision, newest);
}

/// A store that is older than what was seen of it says so.
pub fn a_future_revision_means_that_the_store_went_back(doors: &Doors) {
    let store = doors();
    store.commit(Revision(0), &[], &[]).unwrap();
    let error = store.changes_since(Revision(2)).unwrap_err();
    assert!(matches!(error, StoreError::WentBack { seen: Revision(2), newest: Revision(1) }), "{error}");
}

/// Several doors count up one record at once: every success counts.
pub fn racing_doors_lose_no_update(doors: &Doors) {
    const DOORS: u8 = 4;
    const EACH: usize = 15;
    let count_up = |store: &dyn Store| {
        let loaded = store.load().unwrap();
        let count = loaded.records.first().map_or(0, |record| record.sealed[0]);
        store.commit(loaded.revision, &[put(1, &[count + 1])], &[])
    };
    std::thread::scope(|scope| {
        for _ in 0..DOORS {
            let store = doors();
            scope.spawn(move || {
                let mut done = 0;
                while done < EACH {
                    match count_up(store.as_ref()) {
                        Ok(_) => done += 1,
                        Err(CommitError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let loaded = doors().load().unwrap();
    let total = usize::from(DOORS) * EACH;
    assert_eq!(loaded.revision, Revision(u64::try_from(total).unwrap()));
    assert_eq!(usize::from(loaded.records[0].sealed[0]), total);
}

/// Readers and a writer share a door: no read is taken for an old store, and no thread sees revisions go back.
pub fn reading_beside_a_commit_never_goes_back(doors: &Doors) {
    const COMMITS: u64 = 200;
    let store = doors();
    let read = |number: usize| match number % 3 {
        0 => store.revision(),
        1 => store.load().map(|loaded| loaded.revision),
        _ => store.changes_since(Revision(0)).map(|changes| match changes {
            Changes::Since(delta) => delta.revision,
            Changes::TooOld => panic!("nothing was deleted"),
        }),
    };
    let read = &read;
    std::thread::scope(|scope| {
        for number in 0..3 {
            scope.spawn(move || {
                let mut newest = Revision(0);
                while newest.0 < COMMITS {
                    let found = read(number).unwrap();
                    assert!(found >= newest, "{found} after {newest}");
                    newest = found;
                }
            });
        }
        for number in 0..COMMITS {
            store.commit(Revision(number), &[put(1, b"a")], &[]).unwrap();
        }
    });
}

/// Waits in a thread of its own; the answer is the moment, and how long it took.
fn waits(store: &Arc<dyn Store>, seen: Moment) -> std::thread::JoinHandle<(Moment, Duration)> {
    let store = Arc::clone(store);
    std::thread::spawn(move || {
        let begun = Instant::now();
        let moment = store.wait(seen, PATIENCE).unwrap();
        (moment, begun.elapsed())
    })
}

/// A commit through one door wakes who waits at another.
pub fn a_commit_wakes_who_waits(doors: &Doors) {
    let (one, other) = (doors(), doors());
    let seen = other.moment().unwrap();
    let waiting = waits(&other, seen);
    one.commit(Revision(0), &[put(1, b"a")], &[]).unwrap();
    let (moment, took) = waiting.join().unwrap();
    assert_eq!(moment.revision, Revision(1));
    assert!(took < PATIENCE);
    // What was not seen needs no wait.
    assert_eq!(one.wait(seen, PATIENCE).unwrap().revision, Revision(1));
}

/// Entries that come, show another revision, or go, wake who waits; a renewal that shows nothing new need not.
pub fn entries_wake_who_waits(doors: &Doors) {
    let (one, other) = (doors(), doors());
    let steps: [(&str, &dyn Fn()); 3] = [
        ("joins", &|| assert!(one.join(&hsm(1), Revision(0), 0).is_ok())),
        ("applies", &|| one.renew(Revision(1), 0).unwrap()),
        ("leaves", &|| one.leave()),
    ];
    for (what, step) in steps {
        let seen = other.moment().unwrap();
        let waiting = waits(&other, seen);
        step();
        let (moment, took) = waiting.join().unwrap();
        assert!(moment.entries != seen.entries && took < PATIENCE, "{what}: {took:?}");
    }
}

/// Nothing happens, and waiting ends all the same.
pub fn waiting_ends(doors: &Doors) {
    let store = doors();
    let seen = store.moment().unwrap();
    assert_eq!(store.wait(seen, Duration::from_millis(1)).unwrap(), seen);
    assert_eq!(store.wait(seen, Duration::ZERO).unwrap(), seen);
}

/// An entry shows who it is and what was applied, which never goes back, until its member leaves.
pub fn members_join_renew_and_leave(doors: &Doors) {
    let (one, other) = (doors(), doors());
    assert!(matches!(one.renew(Revision(0), 0), Err(RenewError::NotJoined)));
    let first = one.join(&hsm(2), Revision(3), 0).unwrap();
    let second = other.join(&hsm(1), Revision(0), 0).unwrap();
    let applied = || other.members().unwrap().iter().map(|entry| entry.applied.0).collect::<Vec<_>>();
    let members = one.members().unwrap();
    let mut ids: Vec<_> = members.iter().map(|entry| (entry.hsm_id.clone(), entry.incarnation)).collect();
    assert!(ids.is_sorted_by_key(|(id, _)| id.clone()));
    ids.sort_by_key(|(id, _)| *id != hsm(2));
    assert_eq!(ids, [(hsm(2), first), (hsm(1), second)]);
    let of = |id: &HsmId| members.iter().position(|entry| entry.hsm_id == *id).unwrap();
    one.renew(Revision(5), 0).unwrap();
    assert_eq!(applied()[of(&hsm(2))], 5);
    one.renew(Revision(4), 0).unwrap();
    assert_eq!(applied()[of(&hsm(2))], 5);
    one.leave();
    assert!(matches!(one.renew(Revision(6), 0), Err(RenewError::NotJoined)));
    assert_eq!(applied(), [0]);
    assert_ne!(one.join(&hsm(2), Revision(6), 0).unwrap(), first, "another life");
    drop(other);
    let deadline = Instant::now() + PATIENCE;
    while one.members().unwrap().len() > 1 {
        assert!(Instant::now() < deadline, "a dropped door leaves");
    }
}

/// One entry a door, and one door an HSM.
pub fn an_hsm_joins_once(doors: &Doors) {
    let (one, other) = (doors(), doors());
    one.join(&hsm(1), Revision(0), 0).unwrap();
    for (door, id) in [(&one, hsm(1)), (&one, hsm(2)), (&other, hsm(1))] {
        assert!(matches!(door.join(&id, Revision(0), 0), Err(JoinError::AlreadyJoined { .. })));
    }
    one.leave();
    other.join(&hsm(1), Revision(0), 0).unwrap();
}

/// Nobody fences itself, and an entry that is gone is fenced already.
pub fn fencing_knows_whom_it_may(doors: &Doors) {
    let store = doors();
    store.join(&hsm(1), Revision(0), 0).unwrap();
    let own = store.members().unwrap().remove(0);
    assert!(matches!(store.fence(&own), Err(FenceError::Itself { .. })));
    store.leave();
    store.fence(&own).unwrap();
    store.join(&hsm(1), Revision(0), 0).unwrap();
    store.fence(&own).unwrap();
    assert_eq!(store.members().unwrap().len(), 1, "the next life is another one");
}

/// A member that asks to go first is waited for until it has had its turn.
pub fn who_asked_goes_first(doors: &Doors) {
    let (one, other) = (doors(), doors());
    assert!(!one.announce_turn(), "without an entry");
    one.join(&hsm(1), Revision(0), 0).unwrap();
    other.join(&hsm(2), Revision(0), 0).unwrap();
    assert!(!other.yield_turn(PATIENCE), "nobody asked");
    assert!(one.announce_turn());
    assert!(!other.announce_turn(), "one at a time");
    assert!(!one.yield_turn(PATIENCE), "it is its own turn");
    other.withdraw_turn();
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiting = Arc::clone(&other);
    let thread = std::thread::spawn(move || sender.send(waiting.yield_turn(PATIENCE)).unwrap());
    assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err(), "another's withdrawal ended the turn");
    one.withdraw_turn();
    assert!(receiver.recv_timeout(PATIENCE).unwrap());
    thread.join().unwrap();
    assert!(!other.yield_turn(PATIENCE));
    assert!(other.announce_turn());
}

/// A member that asked to go first and then does nothing delays the others once; one that is gone, not at all.
pub fn nobody_waits_for_long_or_for_the_dead(doors: &Doors) {
    let (one, other) = (doors(), doors());
    one.join(&hsm(1), Revision(0), 0).unwrap();
    other.join(&hsm(2), Revision(0), 0).unwrap();
    assert!(one.announce_turn());
    assert!(other.yield_turn(Duration::from_millis(20)));
    assert!(!other.yield_turn(PATIENCE), "once is enough");
    one.withdraw_turn();
    assert!(one.announce_turn());
    let waiting = Arc::clone(&other);
    let thread = std::thread::spawn(move || waiting.yield_turn(PATIENCE));
    drop(one);
    let began = Instant::now();
    thread.join().unwrap();
    assert!(began.elapsed() < PATIENCE / 2);
    assert!(other.announce_turn());
}
