use std::sync::Arc;
use std::time::Instant;

use strongroom_store::{SqliteStore, Store};

use super::super::{Cluster, StartError};
use super::world::{Asks, LONG, Steps, World, create, hsm_id};

fn start(world: &World, number: u8) -> Result<Arc<Cluster>, StartError> {
    Cluster::start(&world.setup(number), Arc::clone(&world.said) as _, Box::new(Steps::default()))
}

#[test]
fn two_members_change_at_once_and_start_again() {
    const EACH: usize = 12;
    let world = World::new();
    let members: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = [1, 2]
            .map(|number| {
                scope.spawn({
                    let world = &world;
                    move || start(world, number).unwrap()
                })
            })
            .into_iter()
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    members[0].activate();
    members[1].freshen(Instant::now() + LONG).unwrap();
    std::thread::scope(|scope| {
        for (number, member) in members.iter().enumerate() {
            scope.spawn(move || {
                for change in 0..EACH {
                    let user = format!("user-{number}-{change}");
                    member.create_user(&user).unwrap();
                    if change % 3 == 0 {
                        member.delete_user(&user).unwrap();
                    }
                }
            });
        }
    });
    for member in &members {
        member.freshen(Instant::now() + LONG).unwrap();
        assert_eq!(**member.state(), **members[0].state());
        assert_eq!(member.members().len(), 2);
    }
    let before = Arc::clone(&members[0].state());
    drop(members);
    let again = start(&world, 1).unwrap();
    assert_eq!(**again.state(), *before);
    assert_eq!(again.state().users().count(), 2 + 2 * EACH * 2 / 3);
    assert_eq!(again.members().into_iter().collect::<Vec<_>>(), [hsm_id(1)]);
}

#[test]
fn a_repeat_after_a_restart_gets_the_first_answer() {
    let world = World::new();
    let member = start(&world, 1).unwrap();
    member.activate();
    let change = create(member.admin(), "alice");
    let first = member.change(change.clone(), Instant::now() + LONG).unwrap();
    drop(member);
    let member = start(&world, 1).unwrap();
    assert_eq!(member.change(change, Instant::now() + LONG).unwrap().reply, first.reply);
}

#[test]
fn a_database_put_back_is_refused() {
    let world = World::new();
    let member = start(&world, 1).unwrap();
    member.activate();
    member.create_user("alice").unwrap();
    drop(member);
    let kept = std::fs::read(world.path("cluster.sqlite")).unwrap();
    let member = start(&world, 1).unwrap();
    member.delete_user("alice").unwrap();
    drop(member);
    assert!(!world.path("cluster.sqlite-wal").exists(), "the last to leave merges the log");
    std::fs::write(world.path("cluster.sqlite"), kept).unwrap();
    let refusal = start(&world, 1).err().unwrap();
    assert!(refusal.is_state_refused(), "{refusal}");
    assert!(refusal.to_string().contains("put back the newest copy"), "{refusal}");
    // Other HSMs, which have seen nothing, can't know.
    assert!(SqliteStore::open(world.setup(2).store).unwrap().load().is_ok());
}
