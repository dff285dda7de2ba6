use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use strongroom_store::{
    Changes, CommitError, FenceError, JoinError, Loaded, MemberEntry, MemoryStore, Moment, RenewError, Store,
    StoreError, StoredRecord,
};
use strongroom_types::{HsmId, Incarnation, RecordKind, RecordPath, Refusal, Revision, Status};

use super::super::{ChangeError, StartError, StateError};
use super::world::{Asks, LONG, World, wait_until};

/// A door behind which somebody changes what is read.
pub(super) struct Altered {
    pub(super) door: MemoryStore,
    loaded: Mutex<Option<Loaded>>,
    flip_changes: Mutex<bool>,
    /// Where the store seems to stand after an older one was put in its place.
    back_at: Mutex<Option<Revision>>,
    revisions_read: AtomicU64,
    /// Commits wait while a test holds it.
    pub(super) gate: Mutex<()>,
}

impl Altered {
    pub(super) fn new(door: MemoryStore) -> Altered {
        Altered {
            door,
            loaded: Mutex::new(None),
            flip_changes: Mutex::new(false),
            back_at: Mutex::new(None),
            revisions_read: AtomicU64::new(0),
            gate: Mutex::new(()),
        }
    }

    /// `load` answers this.
    pub(super) fn showing(door: MemoryStore, loaded: Loaded) -> Altered {
        Altered { loaded: Mutex::new(Some(loaded)), ..Altered::new(door) }
    }

    /// As the SQLite store says it.
    fn went_back(&self) -> Result<(), StoreError> {
        match *self.back_at.lock().unwrap() {
            Some(newest) => Err(StoreError::WentBack { seen: self.door.revision()?, newest }),
            None => Ok(()),
        }
    }

    pub(super) fn revisions_read(&self) -> u64 {
        self.revisions_read.load(Ordering::Relaxed)
    }
}

impl Store for Altered {
    fn load(&self) -> Result<Loaded, StoreError> {
        self.went_back()?;
        self.loaded.lock().unwrap().clone().map_or_else(|| self.door.load(), Ok)
    }

    fn commit(
        &self,
        expected: Revision,
        puts: &[(RecordPath, Vec<u8>)],
        deletes: &[RecordPath],
    ) -> Result<Revision, CommitError> {
        self.went_back().map_err(CommitError::Unavailable)?;
        let _open = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.door.commit(expected, puts, deletes)
    }

    fn revision(&self) -> Result<Revision, StoreError> {
        self.went_back()?;
        let revision = self.door.revision();
        self.revisions_read.fetch_add(1, Ordering::Relaxed);
        revision
    }

    fn changes_since(&self, seen: Revision) -> Result<Changes, StoreError> {
        self.went_back()?;
        let mut changes = self.door.changes_since(seen)?;
        if *self.flip_changes.lock().unwrap()
            && let Changes::Since(delta) = &mut changes
            && let Some(record) = delta.puts.iter_mut().find(|record| record.path.kind == RecordKind::User)
        {
            record.sealed[20] ^= 1;
        }
        Ok(changes)
    }

    fn moment(&self) -> Result<Moment, StoreError> {
        self.went_back()?;
        self.door.moment()
    }

    fn wait(&self, seen: Moment, timeout: Duration) -> Result<Moment, StoreError> {
        self.went_back()?;
        self.door.wait(seen, timeout)
    }

    fn join(&self, hsm_id: &HsmId, applied: Revision, clock_ms: u64) -> Result<Incarnation, JoinError> {
        self.door.join(hsm_id, applied, clock_ms)
    }

    fn announce_turn(&self) -> bool {
        self.door.announce_turn()
    }

    fn withdraw_turn(&self) {
        self.door.withdraw_turn();
    }

    fn yield_turn(&self, patience: Duration) -> bool {
        self.door.yield_turn(patience)
    }

    fn renew(&self, applied: Revision, clock_ms: u64) -> Result<(), RenewError> {
        self.door.renew(applied, clock_ms)
    }

    fn leave(&self) {
        self.door.leave();
    }

    fn members(&self) -> Result<Vec<MemberEntry>, StoreError> {
        self.door.members()
    }

    fn fence(&self, entry: &MemberEntry) -> Result<(), FenceError> {
        self.door.fence(entry)
    }
}

/// A cluster with records of several kinds, stopped; an older version of each store's content comes along.
fn stopped_cluster(world: &World) -> (Loaded, Loaded) {
    let (cluster, _door) = world.start(1);
    cluster.activate();
    cluster.create_user("alice").unwrap();
    let older = world.store.load().unwrap();
    cluster.create_user("bob").unwrap();
    cluster.delete_user("alice").unwrap();
    (older, world.store.load().unwrap())
}

fn refusal_of(world: &World, loaded: Loaded) -> Option<StartError> {
    world.start_on(2, Arc::new(Altered::showing(world.store.member(), loaded))).err()
}

#[test]
fn every_altered_record_is_refused_and_named() {
    let world = World::new();
    let (_, whole) = stopped_cluster(&world);
    let check = |at: usize, what: &str, alter: &dyn Fn(&mut StoredRecord)| {
        let mut loaded = whole.clone();
        alter(&mut loaded.records[at]);
        let path = whole.records[at].path;
        let refusal = refusal_of(&world, loaded).unwrap_or_else(|| panic!("{what} of {path} was not noticed"));
        assert!(refusal.is_state_refused(), "{what} of {path}: {refusal}");
        assert!(refusal.to_string().contains(&path.to_string()), "{what} of {path}: {refusal}");
    };
    for at in 0..whole.records.len() {
        let len = whole.records[at].sealed.len();
        for byte in [0, 1, len / 2, len - 1] {
            check(at, "an altered byte", &|record| record.sealed[byte] ^= 0x40);
        }
        check(at, "a missing byte", &|record| record.sealed.truncate(len - 1));
        check(at, "a byte too many", &|record| record.sealed.push(0));
        check(at, "nothing left", &|record| record.sealed.clear());
        if whole.records[at].path != RecordPath::CLUSTER_KEY {
            check(at, "another revision", &|record| record.revision = Revision(record.revision.0 + 1));
        }
    }
    assert_eq!(world.store.members().unwrap(), []);
}

#[test]
fn every_dropped_record_is_refused() {
    let world = World::new();
    let (_, whole) = stopped_cluster(&world);
    for at in 0..whole.records.len() {
        let mut loaded = whole.clone();
        let path = loaded.records.remove(at).path;
        let refusal = refusal_of(&world, loaded).unwrap_or_else(|| panic!("{path} was not missed"));
        assert!(refusal.is_state_refused(), "{path}: {refusal}");
        // A sum tells that one is missing, not which one.
        let (said, revision) = (refusal.to_string(), format!("revision {}", whole.revision));
        assert!(said.contains(&path.to_string()) || said.contains(&revision), "{path}: {said}");
        assert!(said.contains("the newest copy of the store"), "{path}: {said}");
    }
}

#[test]
fn every_swap_is_refused() {
    let world = World::new();
    let (_, whole) = stopped_cluster(&world);
    let len = whole.records.len();
    for (one, other) in (0..len).flat_map(|one| (one + 1..len).map(move |other| (one, other))) {
        let mut loaded = whole.clone();
        let (first, rest) = loaded.records.split_at_mut(other);
        std::mem::swap(&mut first[one].sealed, &mut rest[0].sealed);
        std::mem::swap(&mut first[one].revision, &mut rest[0].revision);
        let paths = (whole.records[one].path, whole.records[other].path);
        let refusal = refusal_of(&world, loaded).unwrap_or_else(|| panic!("a swap of {paths:?} was not noticed"));
        let said = refusal.to_string();
        assert!(refusal.is_state_refused() && said.contains("the newest copy of the store"), "{said}");
        assert!([paths.0, paths.1].iter().any(|path| said.contains(&path.to_string())), "{paths:?}: {said}");
    }
}

#[test]
fn every_record_put_back_is_refused() {
    let world = World::new();
    let (older, whole) = stopped_cluster(&world);
    let mut checked = 0;
    for old in &older.records {
        let mut loaded = whole.clone();
        match loaded.records.iter_mut().find(|record| record.path == old.path) {
            Some(record) if record == old => continue,
            Some(record) => record.clone_from(old),
            // Deleted since: the user.
            None => {
                loaded.records.push(old.clone());
                loaded.records.sort_by_key(|record| record.path);
            }
        }
        checked += 1;
        let refusal = refusal_of(&world, loaded).unwrap_or_else(|| panic!("{} was put back unnoticed", old.path));
        assert!(refusal.is_state_refused(), "{}: {refusal}", old.path);
        let (said, path) = (refusal.to_string(), old.path.to_string());
        // A whole record of before opens; the sum tells that it is not the newest, not which one it is.
        assert!(said.contains(&path) || said.contains(&format!("revision {}", whole.revision)), "{path}: {said}");
        assert!(said.contains("the newest copy of the store"), "{path}: {said}");
    }
    assert!(checked >= 2, "{checked}");
}

#[test]
fn a_store_with_another_number_or_a_record_of_another_cluster_is_refused() {
    let world = World::new();
    let (_, whole) = stopped_cluster(&world);
    let newer = Loaded { revision: whole.revision.next(), ..whole.clone() };
    assert!(refusal_of(&world, newer).is_some_and(|refusal| refusal.is_state_refused()));
    let older = Loaded { revision: Revision(whole.revision.0 - 1), ..whole.clone() };
    assert!(refusal_of(&world, older).is_some_and(|refusal| refusal.is_state_refused()));
    let elsewhere = World::new();
    let (_, other) = stopped_cluster(&elsewhere);
    let mut mixed = whole.clone();
    mixed.records.push(other.records.iter().find(|record| record.path.kind == RecordKind::User).unwrap().clone());
    assert!(refusal_of(&world, mixed).is_some_and(|refusal| refusal.is_state_refused()));
    let no_key = Loaded { records: whole.records[1..].to_vec(), ..whole };
    let refusal = refusal_of(&world, no_key).unwrap();
    assert!(matches!(&refusal, StartError::State(StateError::Missing(RecordPath::CLUSTER_KEY))), "{refusal}");
}

#[test]
fn a_running_member_that_meets_damage_serves_on_and_changes_nothing() {
    let world = World::new();
    let (first, _one) = world.start(1);
    first.activate();
    let altered = Arc::new(Altered::new(world.store.member()));
    let second = world.start_on(2, Arc::clone(&altered) as Arc<dyn Store>).unwrap();
    first.create_user("alice").unwrap();
    second.freshen(Instant::now() + LONG).unwrap();
    *altered.flip_changes.lock().unwrap() = true;
    first.create_user("bob").unwrap();
    assert_eq!(second.freshen(Instant::now() + LONG).unwrap_err().status, Status::StateDamaged);
    assert!(second.serving().is_ok() && second.has_user("alice") && !second.has_user("bob"));
    let refused = |answer| matches!(answer, Err(ChangeError::Refused(Refusal { status: Status::StateDamaged, .. })));
    assert!(refused(second.create_user("carol")));
    let said = world.said.all();
    assert!(said.iter().any(|text| text.contains("user/") && text.contains("serves on from memory")), "{said:?}");
    // The first member is whole and works on; it sees the second one fall behind.
    first.create_user("dave").unwrap();
    *altered.flip_changes.lock().unwrap() = false;
    wait_until("the second member follows again", || second.freshen(Instant::now() + LONG).is_ok());
    assert!(second.has_user("bob"));
    second.create_user("carol").unwrap();
}

#[test]
fn a_running_member_whose_store_is_replaced_by_an_older_one_serves_on_and_changes_nothing() {
    let world = World::new();
    let altered = Arc::new(Altered::new(world.store.member()));
    let cluster = world.start_on(1, Arc::clone(&altered) as Arc<dyn Store>).unwrap();
    cluster.activate();
    cluster.create_user("alice").unwrap();
    let older = cluster.state().revision();
    cluster.delete_user("alice").unwrap();
    cluster.create_user("bob").unwrap();
    *altered.back_at.lock().unwrap() = Some(older);
    assert_eq!(cluster.freshen(Instant::now() + LONG).unwrap_err().status, Status::StateDamaged);
    match cluster.create_user("carol") {
        Err(ChangeError::Refused(refusal)) => assert_eq!(refusal.status, Status::StateDamaged),
        other => panic!("{other:?}"),
    }
    assert!(cluster.serving().is_ok() && cluster.has_user("bob") && !cluster.has_user("alice"));
    let named = format!("went back from revision {} to {older}", cluster.state().revision());
    let said = world.said.all();
    assert!(said.iter().any(|text| text.contains(&named) && text.contains("serves on from memory")), "{said:?}");
    *altered.back_at.lock().unwrap() = None;
    wait_until("the store is the newest again", || cluster.freshen(Instant::now() + LONG).is_ok());
    cluster.create_user("carol").unwrap();
}
