use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use strongroom_core::Reply;
use strongroom_store::{CommitFault, Store};
use strongroom_types::{Family, Refusal, Revision, Status};

use super::super::{ChangeError, Changed};
use super::damage::Altered;
use super::world::{Asks, LONG, Paused, World, create, delete, name, wait_until};

fn refused(answer: Result<Changed, ChangeError>) -> Status {
    match answer {
        Err(ChangeError::Refused(Refusal { status, .. })) => status,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_change_acts_once_whatever_becomes_of_its_commit() {
    let check = |fault, expected: Option<Status>| {
        let world = World::new();
        let (cluster, door) = world.start(1);
        cluster.activate();
        let before = cluster.state().revision();
        let change = create(cluster.admin(), "alice");
        door.fail_next_commit(fault);
        let first = cluster.change(change.clone(), Instant::now() + LONG);
        match expected {
            None => assert!(matches!(first, Ok(Changed { reply: Reply::User { .. }, .. })), "{fault:?}: {first:?}"),
            Some(status) => {
                assert_eq!(refused(first), status, "{fault:?}");
                assert!(!cluster.has_user("alice"));
            }
        }
        assert!(cluster.serving().is_ok());
        let again = cluster.change(change, Instant::now() + LONG).unwrap();
        assert!(matches!(&again.reply, Reply::User { user, .. } if user.name == name("alice")), "{fault:?}");
        assert!(cluster.has_user("alice"));
        assert_eq!(cluster.state().revision(), before.next(), "{fault:?}: one batch in all");
    };
    check(CommitFault::Conflict, None);
    check(CommitFault::UnknownApplied, None);
    check(CommitFault::UnknownLost, None);
    check(CommitFault::Unavailable, Some(Status::StoreUnavailable));
}

#[test]
fn a_repeat_on_another_member_gets_the_same_answer() {
    let world = World::new();
    let (first, _one) = world.start(1);
    let (second, _two) = world.start(2);
    first.activate();
    first.create_user("alice").unwrap();
    let change = delete(first.admin(), "alice");
    let one = first.change(change.clone(), Instant::now() + LONG).unwrap();
    let other = second.change(change.clone(), Instant::now() + LONG).unwrap();
    assert_eq!(one.reply, other.reply);
    let reused =
        super::super::Change { request: strongroom_core::Request { digest: [1; 32], ..change.request }, ..change };
    assert_eq!(refused(second.change(reused, Instant::now() + LONG)), Status::RequestIdReused);
}

#[test]
fn members_that_change_at_once_all_get_through() {
    const EACH: usize = 40;
    let world = World::new();
    let members = [world.start(1), world.start(2), world.start(3)];
    members[0].0.activate();
    for (member, _) in &members {
        member.freshen(Instant::now() + LONG).unwrap();
    }
    std::thread::scope(|scope| {
        for (number, (member, _)) in members.iter().enumerate() {
            scope.spawn(move || {
                for change in 0..EACH {
                    let user = format!("user-{number}-{change}");
                    member.create_user(&user).unwrap();
                    if change % 4 == 0 {
                        member.delete_user(&user).unwrap();
                        assert!(!member.has_user(&user));
                    }
                }
            });
        }
    });
    for (member, _) in &members {
        member.freshen(Instant::now() + LONG).unwrap();
        assert_eq!(**member.state(), **members[0].0.state());
        assert_eq!(member.state().users().count(), 2 + members.len() * EACH * 3 / 4);
    }
}

#[test]
fn of_two_who_make_the_same_user_one_is_refused() {
    let world = World::new();
    let members = [world.start(1), world.start(2)];
    members[0].0.activate();
    members[1].0.freshen(Instant::now() + LONG).unwrap();
    for round in 0..20 {
        let user = format!("user-{round}");
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = members.iter().map(|(m, _)| scope.spawn(|| m.create_user(&user))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        let loser = outcomes.into_iter().find(Result::is_err).unwrap();
        assert_eq!(refused(loser), Status::UserExists);
    }
}

#[test]
fn changes_that_wait_share_a_batch() {
    const CHANGES: usize = 30;
    let world = World::new();
    let (cluster, door) = world.start(1);
    cluster.activate();
    let before = cluster.state().revision();
    let admin = cluster.admin();
    std::thread::scope(|scope| {
        let paused = Paused::new(&door);
        let ask = |number| {
            let (cluster, change) = (&cluster, create(admin, &format!("user-{number}")));
            scope.spawn(move || cluster.change(change, Instant::now() + LONG))
        };
        let threads: Vec<_> = (0..CHANGES).map(ask).collect();
        wait_until("all wait", || cluster.shared.desk().waiting() == CHANGES);
        drop(paused);
        threads.into_iter().for_each(|thread| drop(thread.join().unwrap().unwrap()));
    });
    let batches = cluster.state().revision().0 - before.0;
    assert!(batches <= 3, "{batches} batches");
    assert_eq!(cluster.state().users().count(), 2 + CHANGES);
}

#[test]
fn what_others_made_is_not_refused_as_unknown() {
    let world = World::new();
    let (first, _one) = world.start(1);
    let (second, two) = world.start(2);
    first.activate();
    second.freshen(Instant::now() + LONG).unwrap();
    // The second member can't follow by itself for now, and asks when it can again.
    two.set_unavailable(true);
    first.create_user("alice").unwrap();
    assert!(!second.has_user("alice"));
    assert_eq!(refused(second.delete_user("alice")), Status::StoreUnavailable);
    two.set_unavailable(false);
    second.delete_user("alice").unwrap();
    assert_eq!(refused(first.delete_user("alice")), Status::UserUnknown);
}

#[test]
fn a_store_out_of_reach_stops_changes_and_nothing_else() {
    let world = World::new();
    let (cluster, door) = world.start(1);
    cluster.activate();
    cluster.create_user("alice").unwrap();
    door.set_unavailable(true);
    assert_eq!(refused(cluster.create_user("bob")), Status::StoreUnavailable);
    assert_eq!(refused(cluster.create_user("alice")), Status::StoreUnavailable);
    assert_eq!(cluster.freshen(Instant::now() + LONG).unwrap_err().status, Status::StoreUnavailable);
    assert!(cluster.serving().is_ok() && cluster.has_user("alice"));
    door.set_unavailable(false);
    cluster.create_user("bob").unwrap();
    assert_eq!(refused(cluster.create_user("alice")), Status::UserExists);
}

#[test]
fn deadlines_pass_before_and_after_a_change_is_tried() {
    let world = World::new();
    let gated = Arc::new(Altered::new(world.store.member()));
    let cluster = world.start_on(1, Arc::clone(&gated) as Arc<dyn Store>).unwrap();
    cluster.activate();
    let admin = cluster.admin();
    let soon = || Instant::now() + Duration::from_millis(20);
    let tried = create(admin, "tried");
    let gate = gated.gate.lock().unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| cluster.change(tried.clone(), Instant::now() + LONG));
        wait_until("the first is being committed", || {
            let desk = cluster.shared.desk();
            desk.waiting() == 1 && desk.batcher.is_empty()
        });
        assert_eq!(refused(cluster.change(create(admin, "waiting"), soon())), Status::DeadlineExceeded);
        drop(gate);
        first.join().unwrap().unwrap();
    });
    let hanging = create(admin, "hanging");
    let gate = gated.gate.lock().unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| cluster.change(hanging.clone(), soon()));
        let status = refused(first.join().unwrap());
        // Whether the committer had it in hand by then is a matter of threads; never a refusal that would be believed.
        assert_eq!(status.family(), Family::Unavailable);
        drop(gate);
    });
    cluster.change(hanging, Instant::now() + LONG).unwrap();
    assert!(cluster.has_user("hanging") && cluster.has_user("tried") && !cluster.has_user("waiting"));
}

#[test]
fn reading_catches_up_with_what_was_seen_elsewhere() {
    let world = World::new();
    let (first, _one) = world.start(1);
    let (second, two) = world.start(2);
    first.activate();
    let changed = first.create_user("alice").unwrap();
    second.catch_up(changed.revision, Instant::now() + LONG).unwrap();
    assert!(second.has_user("alice"));
    second.catch_up(Revision(0), Instant::now()).unwrap();
    let beyond = second.catch_up(Revision(u64::MAX), Instant::now() + LONG).unwrap_err();
    assert_eq!(beyond.status, Status::StoreUnavailable);
    two.set_unavailable(true);
    let changed = first.create_user("bob").unwrap();
    let refusal = second.catch_up(changed.revision, Instant::now() + LONG).unwrap_err();
    assert_eq!(refusal.status, Status::StoreUnavailable);
}

#[test]
fn readers_share_reads() {
    const READERS: usize = 16;
    let world = World::new();
    let (first, _one) = world.start(1);
    let counting = Arc::new(Altered::new(world.store.member()));
    let second = world.start_on(2, Arc::clone(&counting) as Arc<dyn Store>).unwrap();
    first.activate();
    let before = counting.revisions_read();
    let paused = Paused::new(&counting.door);
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..READERS {
            let (second, sender) = (&second, sender.clone());
            scope.spawn(move || {
                sender.send(()).unwrap();
                second.freshen(Instant::now() + LONG).unwrap();
            });
        }
        (0..READERS).for_each(|_| receiver.recv().unwrap());
        drop(paused);
    });
    let reads = counting.revisions_read() - before;
    assert!((1..READERS as u64).contains(&reads), "{reads} reads for {READERS} readers");
    assert_eq!(second.state().revision(), first.state().revision());
}

#[test]
fn a_stopped_member_answers_nothing_and_takes_nothing() {
    let world = World::new();
    let (cluster, _door) = world.start(1);
    cluster.activate();
    let admin = cluster.admin();
    let life = cluster.serving().unwrap();
    cluster.stop();
    assert_eq!(cluster.serving().unwrap_err().status, Status::NotServing);
    assert_eq!(cluster.still_serving(life).unwrap_err().status, Status::NotServing);
    assert_eq!(refused(cluster.change(create(admin, "alice"), Instant::now() + LONG)), Status::NotServing);
    assert_eq!(world.store.members().unwrap(), []);
}
