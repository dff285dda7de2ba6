//! Turns of members that lose, and clocks that are wrong.

use std::time::Instant;

use strongroom_store::{CommitFault, MemberEntry, Store};
use strongroom_types::{Refusal, Revision, Status};

use super::super::{ChangeError, Changed};
use super::world::{Asks, LONG, World, create, hsm_id, wait_until};

const HOUR_MS: i64 = 3_600_000;

fn refused(answer: Result<Changed, ChangeError>) -> Refusal {
    match answer {
        Err(ChangeError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn who_loses_three_times_in_a_row_asks_to_go_first_until_it_has() {
    let world = World::new();
    let (cluster, door) = world.start(1);
    cluster.activate();
    let other = world.store.member();
    other.join(&hsm_id(2), Revision(0), cluster.now_ms()).unwrap();
    std::thread::scope(|scope| {
        door.fail_commits(Some(CommitFault::Conflict));
        let change = scope.spawn(|| cluster.change(create(cluster.admin(), "alice"), Instant::now() + LONG));
        wait_until("the turn is asked for", || {
            let is_free = other.announce_turn();
            other.withdraw_turn();
            !is_free
        });
        door.fail_commits(None);
        change.join().unwrap().unwrap();
        wait_until("the turn is given back", || other.announce_turn());
    });
}

#[test]
fn a_member_whose_commits_fail_keeps_nobody_waiting() {
    let world = World::new();
    let (cluster, door) = world.start(1);
    cluster.activate();
    let other = world.store.member();
    other.join(&hsm_id(2), Revision(0), cluster.now_ms()).unwrap();
    std::thread::scope(|scope| {
        door.fail_commits(Some(CommitFault::Conflict));
        let change = scope.spawn(|| cluster.change(create(cluster.admin(), "alice"), Instant::now() + LONG));
        wait_until("the turn is asked for", || {
            let is_free = other.announce_turn();
            other.withdraw_turn();
            !is_free
        });
        door.fail_commits(Some(CommitFault::Unavailable));
        assert_eq!(refused(change.join().unwrap()).status, Status::StoreUnavailable);
        wait_until("the turn is given back", || other.announce_turn());
    });
}

#[test]
fn a_member_whose_clock_is_off_makes_no_changes_and_the_others_do() {
    let check = |by_ms: i64, word: &str| {
        let world = World::new();
        let members = [world.start(1), world.start(2), world.start(3)];
        let [first, second, third] = members.each_ref().map(|(cluster, _)| cluster);
        first.activate();
        first.create_user("alice").unwrap();
        let head_ms = || first.state().cluster_time(0);
        let before_ms = head_ms();
        first.clock().move_by(by_ms);
        let refusal = refused(first.create_user("bob"));
        assert_eq!(refusal.status, Status::ClockOff);
        assert!(refusal.about.contains(word) && refusal.about.contains("s "), "{}", refusal.about);
        assert!(world.said.all().iter().any(|text| text.contains(word)), "{:?}", world.said.all());
        // It serves on, and catches up.
        second.create_user("carol").unwrap();
        third.delete_user("alice").unwrap();
        first.freshen(Instant::now() + LONG).unwrap();
        assert!(first.has_user("carol") && !first.has_user("alice"));
        assert!(head_ms() - before_ms < 60_000, "no batch carried the wrong time");
        first.clock().move_by(-by_ms);
        first.create_user("dave").unwrap();
    };
    check(HOUR_MS, "3600 s ahead");
    check(-HOUR_MS, "3600 s behind");
}

#[test]
fn clocks_within_a_minute_or_moved_together_do_not_matter() {
    let world = World::new();
    let members = [world.start(1), world.start(2), world.start(3)];
    members[0].0.activate();
    members[0].0.clock().move_by(55_000);
    members[0].0.create_user("alice").unwrap();
    for by_ms in [HOUR_MS, -2 * HOUR_MS] {
        members.iter().for_each(|(cluster, _)| cluster.clock().move_by(by_ms));
        for (number, (cluster, _)) in members.iter().enumerate() {
            cluster.create_user(&format!("user-{number}-{}", by_ms.unsigned_abs())).unwrap();
        }
    }
}

#[test]
fn cluster_time_never_goes_back() {
    let world = World::new();
    let (cluster, _door) = world.start(1);
    cluster.activate();
    let head_ms = || cluster.state().cluster_time(0);
    cluster.clock().move_by(HOUR_MS);
    cluster.create_user("alice").unwrap();
    let ahead_ms = head_ms();
    cluster.clock().move_by(-2 * HOUR_MS);
    cluster.create_user("bob").unwrap();
    assert!(head_ms() >= ahead_ms, "{} {ahead_ms}", head_ms());
    cluster.clock().move_by(HOUR_MS);
    // Nor on a member that starts later, and whose clock was never ahead.
    let (later, _door) = world.start(2);
    assert!(later.state().cluster_time(later.now_ms()) >= ahead_ms);
}

#[test]
fn a_wrong_clock_keeps_no_member_from_starting() {
    let world = World::new();
    let (first, _one) = world.start(1);
    first.activate();
    drop(world.start(2));
    first.clock().move_by(HOUR_MS);
    let shows_it = |entry: &MemberEntry| entry.clock_ahead_ms > HOUR_MS / 2;
    wait_until("its entry shows that clock", || world.store.members().unwrap().iter().any(shows_it));
    // The one that starts is an hour behind; it changes nothing by that, and serves.
    let (second, _two) = world.start(2);
    assert!(second.serving().is_ok());
    assert_eq!(refused(second.create_user("alice")).status, Status::ClockOff);
}
