//! The table by itself: its file, its slots' locks, whom it kills.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use strongroom_types::{HsmId, Incarnation, Revision};

use super::layout::{Occupant, SLOTS, VERSION};
use super::*;
use crate::{FenceError, JoinError, MemberEntry, RenewError, StoreError};

const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        World { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("members")
    }

    fn table(&self) -> Table {
        Table::open(&self.path()).unwrap()
    }

    fn refused(&self) -> TableError {
        match Table::open(&self.path()) {
            Ok(_) => panic!("it opens"),
            Err(error) => error,
        }
    }
}

fn hsm(number: usize) -> HsmId {
    HsmId::from_random([u8::try_from(number).unwrap(); 7])
}

fn entry_of(occupant: &Occupant) -> MemberEntry {
    occupant.entry(occupant.hsm_id.clone().unwrap())
}

/// A process that is none of the cluster's.
struct Bystander(Child);

impl Bystander {
    fn start() -> Bystander {
        Bystander(Command::new("cat").stdin(Stdio::piped()).spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_file_of_any_other_length_or_header_is_refused() {
    let world = World::new();
    drop(world.table());
    let good = std::fs::read(world.path()).unwrap();
    assert_eq!(good.len(), FILE_LEN);
    let with = |bytes: &[u8]| {
        std::fs::write(world.path(), bytes).unwrap();
        world.refused()
    };
    for len in (0..FIXED_LEN + 2).chain([FILE_LEN - 1]) {
        assert!(matches!(with(&good[..len]), TableError::Foreign { .. }), "{len}");
    }
    assert!(matches!(with(&[&good[..], &[0]].concat()), TableError::Foreign { .. }));
    for at in 0..24 {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        let error = with(&bytes);
        let is_version = (8..12).contains(&at);
        assert_eq!(is_version, matches!(error, TableError::TooNew { known: VERSION, .. }), "{at}: {error}");
        assert_eq!(!is_version, matches!(error, TableError::Foreign { .. }), "{at}: {error}");
    }
    std::fs::write(world.path(), &good).unwrap();
    drop(world.table());
    std::fs::remove_file(world.path()).unwrap();
    std::fs::create_dir(world.path()).unwrap();
    assert!(matches!(world.refused(), TableError::Inaccessible { .. }));
}

#[test]
fn whatever_slots_hold_nobody_panics_and_free_ones_are_cleaned() {
    let world = World::new();
    drop(world.table());
    let good = std::fs::read(world.path()).unwrap();
    for garbage in [0x00, 0x01, 0x20, 0x7f, 0x80, 0xff] {
        let mut bytes = good.clone();
        bytes[64..].fill(garbage);
        std::fs::write(world.path(), &bytes).unwrap();
        let table = world.table();
        assert_eq!(table.members().unwrap(), [], "{garbage:#x}");
        assert!(!table.is_anybody_in().unwrap());
        assert!(!table.fence_writer(table.writer()).unwrap());
        table.sweep().unwrap();
        assert!(table.map.slots.iter().all(|slot| !slot.is_used()), "{garbage:#x}");
        table.join(&hsm(1), Revision(3)).unwrap();
        assert_eq!(table.members().unwrap().len(), 1);
    }
}

#[test]
fn a_held_slot_that_names_nobody_is_damage() {
    let world = World::new();
    let (table, other) = (world.table(), world.table());
    table.join(&hsm(1), Revision(0)).unwrap();
    let slot = table.own_slot().unwrap();
    let file = OpenOptions::new().write(true).open(world.path()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 32], lock_byte(slot) + 8).unwrap();
    assert!(matches!(other.members(), Err(StoreError::Damaged { .. })));
    assert!(other.is_anybody_in().unwrap());
}

#[test]
fn an_entry_overwritten_by_another_is_noticed_at_its_next_renewal() {
    let world = World::new();
    let table = world.table();
    table.join(&hsm(1), Revision(0)).unwrap();
    let slot = &table.map.slots[table.own_slot().unwrap()];
    let mut other = slot.read().unwrap();
    other.incarnation = Incarnation::from_bytes([9; 16]);
    slot.write(Some(&other));
    assert!(matches!(table.renew(Revision(1)), Err(RenewError::Fenced)));
    assert!(matches!(table.renew(Revision(1)), Err(RenewError::Fenced)));
    table.join(&hsm(1), Revision(1)).unwrap();
    table.renew(Revision(2)).unwrap();
    assert_eq!(world.table().members().unwrap()[0].applied, Revision(2));
}

#[test]
fn every_slot_is_given_once_and_a_free_one_again() {
    let world = World::new();
    let mut tables: Vec<Table> = (0..SLOTS).map(|_| world.table()).collect();
    for (number, table) in tables.iter().enumerate() {
        table.join(&hsm(number), Revision(0)).unwrap();
    }
    let late = world.table();
    assert!(matches!(late.join(&hsm(SLOTS), Revision(0)), Err(JoinError::Full { slots: SLOTS })));
    assert_eq!(late.members().unwrap().len(), SLOTS);
    drop(tables.remove(17));
    late.join(&hsm(SLOTS), Revision(0)).unwrap();
    assert_eq!(late.own_slot(), Some(17));
}

#[test]
fn racing_joins_of_one_hsm_give_one_entry() {
    let world = World::new();
    let tables: Vec<Table> = (0..8).map(|_| world.table()).collect();
    let joined: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            tables.iter().map(|table| scope.spawn(|| table.join(&hsm(1), Revision(0)).is_ok())).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
    });
    assert_eq!((joined, world.table().members().unwrap().len()), (1, 1));
}

/// An HSM that starts again while another process empties the slot of its dead predecessor.
#[test]
fn a_slot_that_is_being_emptied_does_not_keep_its_hsm_out() {
    let world = World::new();
    let (sweeper, table) = (world.table(), world.table());
    let dead = table.new_occupant(&hsm(1), Revision(0)).unwrap();
    assert!(sys::lock(&sweeper.file, lock_byte(5)).unwrap());
    sweeper.map.slots[5].write(Some(&dead));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let joining = scope.spawn(|| table.join(&hsm(1), Revision(0)));
        // The join is looking by the time that it holds its lock.
        while !sys::is_held(&sweeper.file, 0).unwrap() && !joining.is_finished() {
            assert!(begun.elapsed() < PATIENCE);
        }
        sweeper.map.slots[5].write(None);
        sys::unlock(&sweeper.file, lock_byte(5)).unwrap();
        joining.join().unwrap().unwrap();
    });
    assert_eq!(table.members().unwrap().len(), 1);
}

#[test]
fn one_wake_through_another_mapping_ends_a_sleep() {
    let world = World::new();
    let (sleeper, waker) = (world.table(), world.table());
    let (sender, receiver) = std::sync::mpsc::channel();
    let slept = std::thread::scope(|scope| {
        let asleep = scope.spawn(|| {
            let seen = sleeper.signal();
            sender.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
            let begun = Instant::now();
            // Nothing but a wake ends this sleep in time.
            sleeper.sleep(seen, PATIENCE);
            begun.elapsed()
        });
        let thread = PathBuf::from("/proc").join(receiver.recv().unwrap()).join("stat");
        let deadline = Instant::now() + PATIENCE;
        while !std::fs::read_to_string(&thread).unwrap().contains(") S ") {
            assert!(Instant::now() < deadline, "it does not fall asleep");
        }
        waker.wake();
        asleep.join().unwrap()
    });
    assert!(slept < PATIENCE / 2, "{slept:?}");
}

#[test]
fn a_process_that_only_has_the_members_number_is_left_alone() {
    let world = World::new();
    let (table, holder) = (world.table(), world.table());
    let mut bystander = Bystander::start();
    let mut occupant = table.new_occupant(&hsm(1), Revision(0)).unwrap();
    // The number was given again: the process started at another time than the one that joined.
    occupant.pid = bystander.0.id();
    occupant.start_time = process::start_time(occupant.pid).unwrap().unwrap() - 1;
    assert!(sys::lock(&holder.file, lock_byte(0)).unwrap());
    holder.map.slots[0].write(Some(&occupant));
    let error = table.fence(&entry_of(&occupant)).unwrap_err();
    assert!(matches!(error, FenceError::StillThere { .. }), "{error}");
    assert!(bystander.is_alive());
    // Nor is one killed whose slot is free, or that is another incarnation.
    occupant.start_time += 1;
    holder.map.slots[0].write(Some(&occupant));
    let former = MemberEntry { incarnation: Incarnation::from_bytes([1; 16]), ..entry_of(&occupant) };
    table.fence(&former).unwrap();
    sys::unlock(&holder.file, lock_byte(0)).unwrap();
    table.fence(&entry_of(&occupant)).unwrap();
    assert!(bystander.is_alive());
    // The same entry in a held slot names the process: the test above would notice a kill.
    assert!(sys::lock(&holder.file, lock_byte(0)).unwrap());
    assert!(table.fence(&entry_of(&occupant)).is_err(), "this test holds the slot");
    let deadline = Instant::now() + PATIENCE;
    while bystander.is_alive() {
        assert!(Instant::now() < deadline, "it was to be killed");
    }
}

#[test]
fn the_writers_mark_is_that_of_the_last_and_names_a_member_alone() {
    let world = World::new();
    let (table, other) = (world.table(), world.table());
    let first = table.writing();
    assert!(!other.fence_writer(other.writer()).unwrap(), "a writer without an entry is nobody");
    let mark = other.writer();
    other.join(&hsm(1), Revision(0)).unwrap();
    let second = other.writing();
    drop(first);
    assert_ne!((other.writer(), other.writer() % 256), (mark, 0), "the first leaves the second's mark");
    assert!(!table.fence_writer(mark).unwrap(), "a mark that is over names nobody");
    assert!(matches!(table.fence_writer(table.writer()), Err(FenceError::Itself { .. })));
    drop(second);
    assert_eq!(table.writer(), 0);
    for mark in [0, 255, 65, u64::MAX] {
        assert!(!table.fence_writer(mark).unwrap(), "{mark}");
    }
}

#[test]
fn a_table_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    drop(world.table());
    std::fs::set_permissions(world.path(), std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(world.refused(), TableError::Access(_)));
}
