use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use strongroom_core::member::{Anchor, AnchorConflict};
use strongroom_crypto_keys::seal::Sealer;
use strongroom_store::{Loaded, Store};
use strongroom_types::Family;

use super::super::anchor::{AnchorPlace, Anchored};
use super::super::keys::Keys;
use super::super::{AnchorError, ChangeError, StartError, StateError};
use super::damage::Altered;
use super::world::{Asks, LONG, World, delete};

fn conflict(world: &World, loaded: Option<Loaded>) -> Option<AnchorConflict> {
    let door = world.store.member();
    let store: Arc<dyn Store> = match loaded {
        Some(loaded) => Arc::new(Altered::showing(door, loaded)),
        None => Arc::new(door),
    };
    match world.start_on(1, store).err()? {
        StartError::State(StateError::Anchor(conflict)) => Some(conflict),
        other => panic!("{other}"),
    }
}

#[test]
fn a_store_older_than_an_acknowledged_revocation_is_refused() {
    let world = World::new();
    let (cluster, door) = world.start(1);
    cluster.activate();
    cluster.create_user("alice").unwrap();
    let older = world.store.load().unwrap();
    cluster.delete_user("alice").unwrap();
    let revision = cluster.state().revision();
    drop((cluster, door));
    let expected = AnchorConflict::Older { store: older.revision, anchor: revision };
    assert_eq!(conflict(&world, Some(older)), Some(expected));
    assert_eq!(conflict(&world, None), None);
}

#[test]
fn a_missing_anchor_is_refused_once_the_hsm_was_a_member() {
    let world = World::new();
    drop(world.start(1));
    let kept = fs::read(world.path("anchor-1")).unwrap();
    fs::remove_file(world.path("anchor-1")).unwrap();
    assert_eq!(conflict(&world, None), Some(AnchorConflict::Missing));
    fs::write(world.path("anchor-1"), kept).unwrap();
    assert_eq!(conflict(&world, None), None);
}

#[test]
fn no_new_cluster_is_made_where_one_was() {
    let world = World::new();
    drop(world.start(1));
    let empty = Arc::new(strongroom_store::MemoryStore::new());
    let refused = world.start_on(1, Arc::clone(&empty) as Arc<dyn Store>).err().unwrap();
    assert!(matches!(&refused, StartError::State(StateError::Emptied { anchor }) if *anchor == world.path("anchor-1")));
    assert!(refused.is_state_refused());
    assert!(empty.load().unwrap().records.is_empty());
    assert_eq!(conflict(&world, None), None);
}

#[test]
fn what_only_grants_costs_no_write_of_the_anchor() {
    let world = World::new();
    let (cluster, _door) = world.start(1);
    cluster.activate();
    cluster.create_user("alice").unwrap();
    cluster.create_user("bob").unwrap();
    cluster.delete_user("bob").unwrap();
    let anchored = fs::read(world.path("anchor-1")).unwrap();
    cluster.create_user("carol").unwrap();
    cluster.create_user("dave").unwrap();
    assert_eq!(fs::read(world.path("anchor-1")).unwrap(), anchored);
    cluster.delete_user("carol").unwrap();
    assert_ne!(fs::read(world.path("anchor-1")).unwrap(), anchored);
}

#[test]
fn a_write_that_a_crash_cut_short_leaves_the_anchor_before() {
    let world = World::new();
    let (cluster, door) = world.start(1);
    cluster.activate();
    for user in ["alice", "bob", "carol"] {
        cluster.create_user(user).unwrap();
        cluster.delete_user(user).unwrap();
    }
    drop((cluster, door));
    let whole = fs::read(world.path("anchor-1")).unwrap();
    let file = OpenOptions::new().write(true).open(world.path("anchor-1")).unwrap();
    for slot in [0, 4_096] {
        let remarks = || world.said.all().iter().filter(|text| text.contains("one of the two slots")).count();
        let before = remarks();
        file.write_all_at(&[0xff; 40], slot).unwrap();
        assert_eq!(conflict(&world, None), None, "slot at {slot}");
        assert_eq!(remarks(), before + 1, "slot at {slot}");
        // It is whole again, and nothing more is said of it.
        assert_eq!(conflict(&world, None), None, "slot at {slot}");
        assert_eq!(remarks(), before + 1, "slot at {slot}");
        file.write_all_at(&whole, 0).unwrap();
    }
    for slot in [0, 4_096] {
        file.write_all_at(&[0xff; 40], slot).unwrap();
    }
    let refusal = world.start_on(1, Arc::new(world.store.member())).err().unwrap();
    assert!(matches!(refusal, StartError::Anchor(AnchorError::Damaged { .. })), "{refusal}");
    assert!(refusal.is_state_refused());
}

#[test]
fn an_anchor_of_another_cluster_or_a_forged_one_is_refused() {
    let (world, other) = (World::new(), World::new());
    drop((world.start(1), other.start(1)));
    fs::copy(other.path("anchor-1"), world.path("anchor-1")).unwrap();
    let refusal = world.start_on(1, Arc::new(world.store.member())).err().unwrap();
    assert!(matches!(refusal, StartError::Anchor(AnchorError::Damaged { .. })), "{refusal}");
    fs::write(world.path("anchor-1"), b"").unwrap();
    let refusal = world.start_on(1, Arc::new(world.store.member())).err().unwrap();
    assert!(matches!(refusal, StartError::Anchor(AnchorError::Damaged { .. })), "{refusal}");
}

/// A place whose disk is gone until it is back.
struct Broken(Arc<AtomicBool>);

impl AnchorPlace for Broken {
    fn read(&mut self, _: &Keys) -> Result<Option<Anchor>, AnchorError> {
        Ok(None)
    }

    fn write(&mut self, _: &Sealer, _: &Anchor) -> Result<(), AnchorError> {
        if self.0.load(Ordering::SeqCst) {
            let (path, source) = ("anchor".into(), ErrorKind::Other.into());
            return Err(AnchorError::Inaccessible { path, doing: "written", source });
        }
        Ok(())
    }
}

#[test]
fn what_was_taken_away_is_not_confirmed_before_the_anchor_holds_it() {
    let world = World::with_lease(300);
    let (cluster, door) = world.start(1);
    cluster.activate();
    cluster.create_user("alice").unwrap();
    let shown = || door.members().unwrap()[0].applied;
    let broken = Arc::new(AtomicBool::new(true));
    *cluster.shared.anchor.lock().unwrap() = Anchored::new(Box::new(Broken(Arc::clone(&broken))));
    let change = delete(cluster.admin(), "alice");
    let short = Instant::now() + Duration::from_millis(50);
    match cluster.change(change.clone(), short) {
        Err(ChangeError::Refused(refusal)) => assert_eq!(refusal.status.family(), Family::Unavailable),
        other => panic!("{other:?}"),
    }
    assert!(!cluster.has_user("alice") && cluster.serving().is_ok());
    assert!(shown() < cluster.state().revision());
    broken.store(false, Ordering::SeqCst);
    cluster.change(change, Instant::now() + LONG).unwrap();
    assert!(shown() >= cluster.state().revision());
}

#[test]
fn an_anchor_that_was_removed_or_replaced_is_made_anew_by_the_next_that_is_written() {
    let world = World::new();
    let (cluster, door) = world.start(1);
    cluster.activate();
    let anchor = world.path("anchor-1");
    let older = fs::read(&anchor).unwrap();
    for user in ["alice", "bob"] {
        cluster.create_user(user).unwrap();
        fs::remove_file(&anchor).unwrap();
        if user == "bob" {
            fs::write(&anchor, &older).unwrap();
        }
        cluster.delete_user(user).unwrap();
        assert_ne!(fs::read(&anchor).unwrap(), older, "nobody would find what was taken away");
    }
    drop((cluster, door));
    assert_eq!(conflict(&world, None), None);
}
