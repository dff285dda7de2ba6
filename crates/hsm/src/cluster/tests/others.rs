use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::Scope;
use std::time::Instant;

use strongroom_store::{MemoryStore, RenewError, Store};
use strongroom_types::{Revision, Status};

use super::super::clock::wall_ms;
use super::super::{ChangeError, Changed, Cluster};
use super::world::{Asks, LONG, Paused, World, delete, hsm_id, wait_until};

/// Asks in a thread of its own; the answer comes through the channel.
fn delete_apart<'s>(
    scope: &'s Scope<'s, '_>,
    cluster: &'s Cluster,
    user: &'static str,
) -> Receiver<Result<Changed, ChangeError>> {
    let (sender, receiver) = channel();
    scope.spawn(move || {
        let answer = cluster.change(delete(cluster.admin(), user), Instant::now() + LONG);
        sender.send(answer).expect("the story waits for it");
    });
    receiver
}

/// A cluster with alice and bob, and a second member that does nothing by itself.
fn with_silent_member(world: &World) -> (Arc<Cluster>, MemoryStore) {
    let (cluster, _) = world.start(1);
    cluster.activate();
    cluster.create_user("alice").unwrap();
    cluster.create_user("bob").unwrap();
    let silent = world.store.member();
    silent.join(&hsm_id(2), cluster.state().revision(), wall_ms()).unwrap();
    (cluster, silent)
}

/// By then a change that is acknowledged too early would be: a later one has gone the whole way.
fn assert_unanswered(cluster: &Cluster, answer: &Receiver<Result<Changed, ChangeError>>, gone: &str) {
    wait_until("the change is applied here", || !cluster.has_user(gone));
    cluster.create_user(&format!("after-{gone}")).unwrap();
    cluster.shared.acknowledge();
    assert!(answer.try_recv().is_err());
}

#[test]
fn a_revoking_change_waits_until_the_other_member_shows_it() {
    let world = World::new();
    let (cluster, silent) = with_silent_member(&world);
    std::thread::scope(|scope| {
        let answer = delete_apart(scope, &cluster, "alice");
        assert_unanswered(&cluster, &answer, "alice");
        // One revision short.
        silent.renew(Revision(cluster.state().revision().0 - 2), wall_ms()).unwrap();
        cluster.shared.acknowledge();
        assert!(answer.try_recv().is_err());
        silent.renew(Revision(cluster.state().revision().0 - 1), wall_ms()).unwrap();
        answer.recv_timeout(LONG).unwrap().unwrap();
    });
}

#[test]
fn a_granting_change_waits_for_nobody() {
    let world = World::new();
    let (cluster, _silent) = with_silent_member(&world);
    cluster.create_user("carol").unwrap();
    assert!(world.said.all().iter().all(|text| !text.contains("longer than a lease")));
}

#[test]
fn a_member_that_dies_or_leaves_is_not_waited_for() {
    let world = World::new();
    let (cluster, silent) = with_silent_member(&world);
    std::thread::scope(|scope| {
        let answer = delete_apart(scope, &cluster, "alice");
        assert_unanswered(&cluster, &answer, "alice");
        drop(silent);
        answer.recv_timeout(LONG).unwrap().unwrap();
    });
    let silent = world.store.member();
    silent.join(&hsm_id(3), Revision(0), wall_ms()).unwrap();
    std::thread::scope(|scope| {
        let answer = delete_apart(scope, &cluster, "bob");
        assert_unanswered(&cluster, &answer, "bob");
        silent.leave();
        answer.recv_timeout(LONG).unwrap().unwrap();
    });
}

#[test]
fn a_member_silent_for_longer_than_a_lease_is_fenced() {
    let world = World::with_lease(150);
    let (cluster, silent) = with_silent_member(&world);
    let began = Instant::now();
    cluster.delete_user("alice").unwrap();
    assert!(began.elapsed().as_millis() >= 150, "{:?}", began.elapsed());
    assert!(matches!(silent.renew(Revision(9), wall_ms()), Err(RenewError::Fenced)));
    assert!(world.said.all().iter().any(|text| text.contains("longer than a lease")), "{:?}", world.said.all());
}

#[test]
fn a_paused_member_stops_answering_is_fenced_and_comes_back() {
    let world = World::with_lease(150);
    let (first, _one) = world.start(1);
    let (second, two) = world.start(2);
    first.activate();
    first.create_user("alice").unwrap();
    second.freshen(Instant::now() + LONG).unwrap();
    let life = second.serving().unwrap();
    let paused = Paused::new(&two);
    // Acknowledged though the second member applied nothing: so it must not answer any more.
    first.delete_user("alice").unwrap();
    assert!(second.has_user("alice"));
    assert_eq!(second.serving().unwrap_err().status, Status::NotServing);
    assert_eq!(second.still_serving(life).unwrap_err().status, Status::NotServing);
    drop(paused);
    wait_until("the second member serves again", || second.serving().is_ok());
    assert!(!second.has_user("alice"));
    // What it began before, it does not answer.
    assert_eq!(second.still_serving(life).unwrap_err().status, Status::NotServing);
    second.create_user("carol").unwrap();
    first.delete_user("carol").unwrap();
}

#[test]
fn a_member_fenced_while_it_runs_joins_anew() {
    let world = World::with_lease(600);
    let (first, one) = world.start(1);
    first.activate();
    let life = first.serving().unwrap();
    let entry = one.members().unwrap().remove(0);
    let other = world.store.member();
    other.fence(&entry).unwrap();
    wait_until("the member has another life", || first.serving().is_ok_and(|now| now != life));
    let again = one.members().unwrap().remove(0);
    assert_ne!(again.incarnation, entry.incarnation);
    assert!(first.still_serving(life).is_err());
    first.create_user("alice").unwrap();
}

#[test]
fn both_members_acknowledge_each_others_revocations() {
    let world = World::new();
    let (first, _one) = world.start(1);
    let (second, _two) = world.start(2);
    first.activate();
    for round in 0..10 {
        let user = format!("user-{round}");
        let changed = first.create_user(&user).unwrap();
        second.catch_up(changed.revision, Instant::now() + LONG).unwrap();
        second.delete_user(&user).unwrap();
        assert!(!first.has_user(&user), "acknowledged, so the other member has applied it");
    }
}
