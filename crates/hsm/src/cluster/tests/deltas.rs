//! What changed since a revision, damaged in every way, given to a member that runs. That it serves on then and refuses
//! changes is in `damage`.

use strongroom_core::State;
use strongroom_crypto_keys::seal::RootKey;
use strongroom_store::{Changes, Delta, Loaded, Store, StoredRecord};
use strongroom_types::{RecordKind, RecordPath, Revision};

use super::super::StateError;
use super::super::keys::Keys;
use super::super::view::View;
use super::world::{Asks, World};

/// A whole store, and what changed after it: users came, one went, one changed.
struct Story {
    keys: Keys,
    before: Loaded,
    delta: Delta,
}

fn story() -> Story {
    let world = World::new();
    let (cluster, _door) = world.start(1);
    cluster.activate();
    for user in ["alice", "bob"] {
        cluster.create_user(user).unwrap();
    }
    let before = world.store.load().unwrap();
    for user in ["carol", "dave"] {
        cluster.create_user(user).unwrap();
    }
    cluster.delete_user("alice").unwrap();
    cluster.delete_user("bob").unwrap();
    let Changes::Since(delta) = world.store.changes_since(before.revision).unwrap() else { panic!("too old") };
    let setup = world.setup(1);
    let keys = Keys::open(&RootKey::read(&setup.root_key).unwrap(), &setup.cluster_id, &before).unwrap();
    Story { keys, before, delta }
}

impl Story {
    fn view(&self) -> View {
        View::load(&self.keys.sealer(), self.keys.epoch, &self.before).unwrap()
    }

    /// What a member that is at `before` says of a delta. It stays where it was, and takes the whole one afterwards.
    fn refusal(&self, what: &str, delta: &Delta) -> StateError {
        let mut view = self.view();
        let state: State = view.state().clone();
        let head = *view.head();
        let refusal = view.step(&self.keys.sealer(), delta).err();
        let refusal = refusal.unwrap_or_else(|| panic!("{what} was not noticed"));
        assert_eq!((view.state(), view.head()), (&state, &head), "{what}");
        view.step(&self.keys.sealer(), &self.delta).unwrap();
        assert_eq!(view.state().revision(), self.delta.revision);
        refusal
    }

    fn spoiled(&self, what: &str, spoil: impl FnOnce(&mut Delta)) -> String {
        let mut delta = self.delta.clone();
        spoil(&mut delta);
        assert_ne!(delta, self.delta, "{what}");
        self.refusal(what, &delta).to_string()
    }
}

#[test]
fn an_altered_record_of_a_change_is_named() {
    let story = story();
    for (at, record) in story.delta.puts.iter().enumerate() {
        let path = record.path.to_string();
        for byte in [0, 1, record.sealed.len() / 2, record.sealed.len() - 1] {
            let said = story.spoiled("a byte", |delta| delta.puts[at].sealed[byte] ^= 1);
            assert!(said.contains(&path), "{path}: {said}");
        }
        let said = story.spoiled("a byte less", |delta| delta.puts[at].sealed.truncate(record.sealed.len() - 1));
        assert!(said.contains(&path), "{path}: {said}");
        for revision in [record.revision.0 - 1, record.revision.0 + 1] {
            let said = story.spoiled("a revision", |delta| delta.puts[at].revision = Revision(revision));
            assert!(said.contains(&path), "{path}: {said}");
        }
    }
}

#[test]
fn records_of_a_change_that_were_swapped_are_named() {
    let story = story();
    let len = story.delta.puts.len();
    assert!(len > 4, "{len}");
    for (one, other) in (0..len).flat_map(|one| (one + 1..len).map(move |other| (one, other))) {
        let said = story.spoiled("a swap", |delta| {
            let (first, rest) = delta.puts.split_at_mut(other);
            std::mem::swap(&mut first[one].sealed, &mut rest[0].sealed);
            std::mem::swap(&mut first[one].revision, &mut rest[0].revision);
        });
        let paths = [one, other].map(|at| story.delta.puts[at].path.to_string());
        assert!(paths.iter().any(|path| said.contains(path)), "{paths:?}: {said}");
    }
}

#[test]
fn what_a_change_lacks_or_has_too_much_is_noticed_with_its_revision() {
    let story = story();
    let revision = story.delta.revision;
    let check = |what: &str, spoil: &dyn Fn(&mut Delta)| {
        let said = story.spoiled(what, spoil);
        assert!(said.contains(&format!("revision {revision}")), "{what}: {said}");
    };
    for at in 0..story.delta.puts.len() {
        check(&format!("{} dropped", story.delta.puts[at].path), &|delta| drop(delta.puts.remove(at)));
    }
    for at in 0..story.delta.deletes.len() {
        check("a deletion dropped", &|delta| {
            delta.deletes.remove(at);
        });
    }
    let standing = story.before.records.iter().find(|record| record.path.kind == RecordKind::Hsm).unwrap().path;
    check("a deletion too many", &|delta| delta.deletes.push(standing));
    check("a number and nothing else", &|delta| {
        delta.puts.clear();
        delta.deletes.clear();
    });
    let next = story.spoiled("the next number", |delta| delta.revision = revision.next());
    assert!(next.contains(&format!("revision {revision}")) && next.contains(&revision.next().to_string()), "{next}");
}

#[test]
fn a_record_put_back_by_a_change_is_noticed() {
    let story = story();
    let old = |path: RecordPath| story.before.records.iter().find(|record| record.path == path).cloned();
    let mut checked = 0;
    for (at, record) in story.delta.puts.iter().enumerate() {
        let Some(old) = old(record.path) else { continue };
        let said = story.spoiled("an older record", |delta| delta.puts[at] = old.clone());
        let is_named = said.contains(&record.path.to_string()) || said.contains(&old.revision.to_string());
        assert!(is_named, "{}: {said}", record.path);
        checked += 1;
    }
    // Deleted ones come back.
    for path in &story.delta.deletes {
        let Some(old) = old(*path) else { continue };
        let revived = StoredRecord { path: *path, ..old };
        let said = story.spoiled("a deleted record", |delta| {
            delta.deletes.retain(|deleted| deleted != path);
            delta.puts.push(revived);
        });
        assert!(said.contains(&path.to_string()), "{path}: {said}");
        checked += 1;
    }
    assert!(checked >= 3, "{checked}");
}
