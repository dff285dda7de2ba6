//! Stories of the machine, in a time of their own.

use std::time::Instant;

use strongroom_types::limits::POOL_LEN_MAX;
use strongroom_types::{Refusal, Status};

use super::*;
use crate::answers::Member;
use crate::config::Server;
use crate::error::{Cause, ConnectError};

const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// Members, a clock, and a call.
struct World {
    members: Members,
    now: Instant,
    call: Call,
}

fn server(number: usize) -> Server {
    Server { address: format!("127.0.0.{number}"), port: 2223 }
}

fn told(number: usize) -> Member {
    Member {
        hsm_id: format!("hsm-aaaaaaaaaa{}", char::from(b'a' + u8::try_from(number).unwrap())).parse().unwrap(),
        address: format!("127.0.0.{number}:2223").parse().unwrap(),
        availability_zone: String::new(),
        serving: true,
    }
}

fn lost() -> Cause {
    Cause::Lost("reset".into())
}

fn lasting() -> Cause {
    Cause::Connect(ConnectError::NoTls)
}

impl World {
    fn new(members: usize) -> World {
        let servers: Vec<_> = (1..=members).map(server).collect();
        let now = Instant::now();
        World { members: Members::new(&servers), now, call: Call::new(now + PATIENCE, true) }
    }

    /// A fresh call, now.
    fn call(&mut self) {
        self.call = Call::new(self.now + PATIENCE, true);
    }

    fn decide(&mut self) -> Decision {
        self.call.decide(&mut self.members, self.now)
    }

    /// The address to be tried now, and its number.
    #[track_caller]
    fn tries(&mut self) -> (MemberNumber, String) {
        let decision = self.decide();
        let Decision::Try(number) = decision else { panic!("{decision:?} where a try was meant") };
        self.members.begin(number);
        (number, self.members.address(number).unwrap().to_string())
    }

    /// How long to wait; time passes.
    #[track_caller]
    fn waits(&mut self) -> Duration {
        let decision = self.decide();
        let Decision::Wait(until) = decision else { panic!("{decision:?} where a pause was meant") };
        let pause = until - self.now;
        self.now = until;
        pause
    }

    fn fails(&mut self, number: MemberNumber, cause: Cause) -> Option<Turn> {
        let turn = self.members.end(number, self.now, Outcome::Failed(Duration::ZERO), self.now);
        self.call.failed(number, cause, false, Duration::ZERO);
        turn
    }

    fn answers(&mut self, number: MemberNumber) -> Option<Turn> {
        self.members.end(number, self.now, Outcome::Answered, self.now)
    }

    /// Every member fails once, in a call of its own.
    fn all_fail(&mut self) {
        for _ in 0..self.members.list.len() {
            let (number, _) = self.tries();
            self.fails(number, lost());
        }
        self.call();
    }
}

#[test]
fn equals_take_turns_and_the_least_busy_is_preferred() {
    let mut world = World::new(3);
    let first: Vec<_> = (0..3).map(|_| world.tries()).collect();
    let addresses: Vec<_> = first.iter().map(|(_, address)| address.as_str()).collect();
    assert_eq!(addresses, ["127.0.0.1:2223", "127.0.0.2:2223", "127.0.0.3:2223"]);
    world.answers(first[1].0);
    assert_eq!(world.tries().1, addresses[1]);
}

#[test]
fn a_full_member_is_queued_for_only_when_all_are() {
    let mut world = World::new(2);
    for _ in 0..2 * POOL_LEN_MAX - 1 {
        world.tries();
    }
    let (last, _) = world.tries();
    assert_eq!(world.decide(), Decision::Queue);
    world.answers(last);
    assert_eq!(world.tries().0, last);
}

#[test]
fn a_failed_member_is_left_and_its_pauses_grow_to_five_seconds() {
    let mut world = World::new(2);
    let (bad, _) = world.tries();
    assert_eq!(world.fails(bad, lost()), Some(Turn::Left));
    let mut expected = 50;
    for _ in 0..10 {
        world.call();
        world.now += (expected - 1) * MS;
        for _ in 0..5 {
            let (good, _) = world.tries();
            assert_ne!(good, bad, "before its pause is over");
            assert_eq!(world.answers(good), None);
        }
        world.now += MS;
        // Among the next two is the one that has rested.
        let tried = [world.tries().0, world.tries().0];
        assert!(tried.contains(&bad), "after {expected} ms");
        let good = tried.into_iter().find(|number| *number != bad).unwrap();
        world.answers(good);
        assert_eq!(world.fails(bad, lost()), None, "one line in the log is enough");
        expected = (2 * expected).min(5000);
    }
    world.now += PAUSE_MAX;
    world.call();
    let tried = [world.tries().0, world.tries().0];
    assert!(tried.contains(&bad));
    assert_eq!(world.answers(bad), Some(Turn::Back));
    assert_eq!(world.answers(bad), None);
}

#[test]
fn a_silent_member_is_left_for_a_second_at_least() {
    let mut world = World::new(2);
    let (silent, _) = world.tries();
    world.members.end(silent, world.now, Outcome::Silent, world.now);
    for _ in 0..3 {
        let (other, _) = world.tries();
        assert_ne!(other, silent);
        world.answers(other);
        world.now += 333 * MS;
    }
    world.now += MS;
    assert!([world.tries().0, world.tries().0].contains(&silent));
}

#[test]
fn failures_of_tries_that_began_together_count_as_one() {
    let mut world = World::new(2);
    let began = world.now;
    let bad = world.tries().0;
    for _ in 0..7 {
        world.members.begin(bad);
    }
    world.now += MS;
    for _ in 0..8 {
        world.members.end(bad, began, Outcome::Failed(Duration::ZERO), world.now);
    }
    world.now += PAUSE_MIN;
    world.call();
    assert!([world.tries().0, world.tries().0].contains(&bad), "50 ms, not 6.4 s");
}

#[test]
fn one_call_at_a_time_finds_out_whether_a_member_is_back() {
    let mut world = World::new(2);
    let (bad, _) = world.tries();
    world.fails(bad, lost());
    world.now += PAUSE_MIN;
    world.call();
    let probes = (0..10).filter(|_| world.tries().0 == bad).count();
    assert_eq!(probes, 1);
    world.answers(bad);
    assert!((0..4).any(|_| world.tries().0 == bad));
}

#[test]
fn a_call_tries_members_in_a_pause_before_it_waits() {
    let mut world = World::new(3);
    world.all_fail();
    let mut tried: Vec<_> = (0..3)
        .map(|_| {
            let (number, address) = world.tries();
            world.fails(number, lost());
            address
        })
        .collect();
    tried.sort_unstable();
    tried.dedup();
    assert_eq!(tried.len(), 3);
    assert_eq!(world.waits(), PAUSE_MIN);
}

#[test]
fn rounds_go_on_with_growing_pauses_until_the_deadline() {
    let mut world = World::new(2);
    let begun = world.now;
    let mut pauses = Vec::new();
    loop {
        match world.decide() {
            Decision::Try(number) => {
                world.members.begin(number);
                world.fails(number, lost());
            }
            Decision::Wait(until) => {
                pauses.push((until - world.now).as_millis());
                world.now = until;
            }
            Decision::GiveUp => break,
            Decision::Queue => panic!("nobody else is there"),
        }
    }
    assert_eq!(world.now - begun, PATIENCE);
    assert_eq!(pauses[..6], [50, 100, 200, 400, 500, 500]);
    let causes = Call::into_causes(world.call);
    assert_eq!(causes.len(), 2, "one cause a member");
}

#[test]
fn a_call_gives_up_early_only_when_no_member_can_do_better() {
    let mut world = World::new(2);
    for _ in 0..2 {
        let (number, _) = world.tries();
        world.fails(number, lasting());
    }
    assert_eq!(world.decide(), Decision::GiveUp);
    world.call();
    for cause in [lasting(), lost()] {
        let (number, _) = world.tries();
        world.fails(number, cause);
    }
    assert_eq!(world.waits(), PAUSE_MIN);
    // The next round is judged by itself.
    for _ in 0..2 {
        let (number, _) = world.tries();
        world.fails(number, lasting());
    }
    assert_eq!(world.decide(), Decision::GiveUp);
}

#[test]
fn a_busy_member_is_spared_as_long_as_it_asks_within_bounds() {
    let check = |asked: Duration, spared: Duration| {
        let mut world = World::new(2);
        let busy = Cause::Status(Refusal::from(Status::Busy));
        for _ in 0..2 {
            let (number, _) = world.tries();
            let outcome = Outcome::Busy(asked);
            assert_eq!(world.members.end(number, world.now, outcome, world.now), None);
            world.call.failed(number, busy.clone(), true, asked);
        }
        assert_eq!(world.waits(), spared, "{asked:?}");
        world.tries();
    };
    check(Duration::ZERO, BUSY_MIN);
    check(80 * MS, 80 * MS);
    check(Duration::from_secs(3600), BUSY_MAX);
}

#[test]
fn a_busy_member_is_waited_for_rather_than_a_dead_one_tried() {
    let mut world = World::new(2);
    let (dead, _) = world.tries();
    world.fails(dead, lost());
    world.call();
    let (busy, _) = world.tries();
    world.members.end(busy, world.now, Outcome::Busy(20 * MS), world.now);
    world.call.failed(busy, Cause::Status(Refusal::from(Status::Busy)), true, 20 * MS);
    assert_eq!(world.waits(), 20 * MS);
    assert_eq!(world.tries().0, busy);
}

#[test]
fn what_members_ask_for_is_waited_for_before_the_next_round() {
    let mut world = World::new(1);
    let (number, _) = world.tries();
    let asked = 300 * MS;
    world.members.end(number, world.now, Outcome::Answered, world.now);
    world.call.failed(number, Cause::Status(Refusal::from(Status::StoreUnavailable)), false, asked);
    assert_eq!(world.waits(), asked);
}

#[test]
fn without_repeats_one_failure_is_enough() {
    let mut world = World::new(2);
    world.call = Call::new(world.now + PATIENCE, false);
    let (number, _) = world.tries();
    world.fails(number, lost());
    assert_eq!(world.decide(), Decision::GiveUp);
}

#[test]
fn nothing_is_tried_at_or_after_the_deadline() {
    let mut world = World::new(1);
    world.now += PATIENCE - MS;
    let (number, _) = world.tries();
    world.fails(number, lost());
    assert_eq!(world.waits(), MS, "no longer than the deadline");
    assert_eq!(world.decide(), Decision::GiveUp);
}

#[test]
fn the_clusters_list_replaces_the_configurations_which_stays_as_a_last_resort() {
    let mut world = World::new(2);
    world.members.refresh(&[told(2), told(3)]);
    world.members.refresh(&[]);
    let mut first = [world.tries(), world.tries()];
    first.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!([&*first[0].1, &*first[1].1], ["127.0.0.2:2223", "127.0.0.3:2223"]);
    for (number, _) in first {
        world.fails(number, lost());
    }
    let (last, address) = world.tries();
    assert_eq!(address, "127.0.0.1:2223");
    world.answers(last);
    assert_eq!(world.members.last(), None, "nobody has told which HSM that is");
    world.members.refresh(&[told(1), told(2)]);
    assert_eq!(world.members.last(), Some(told(1).hsm_id));
}

#[test]
fn an_address_named_twice_is_one_member_and_ipv6_is_printed_in_brackets() {
    let six = Server { address: "::1".into(), port: 2223 };
    let members = Members::new(&[server(1), server(1), six]);
    let texts: Vec<_> = members.list.iter().map(|entry| members.address(entry.number).unwrap().to_string()).collect();
    assert_eq!(texts, ["127.0.0.1:2223", "[::1]:2223"]);
}

#[test]
fn a_store_that_all_say_is_out_of_reach_is_waited_for_some_seconds_only() {
    let no_store = || Cause::Status(Refusal::from(Status::StoreUnavailable));
    let took = |causes: [Cause; 2]| {
        let mut world = World::new(2);
        let began = world.now;
        loop {
            match world.decide() {
                Decision::Try(number) => {
                    world.members.begin(number);
                    world.answers(number);
                    let which = usize::from(world.members.address(number).unwrap().to_string().ends_with(".2:2223"));
                    world.call.failed(number, causes[which].clone(), false, Duration::ZERO);
                }
                Decision::Wait(until) => world.now = until,
                Decision::Queue => panic!("nobody else is there"),
                Decision::GiveUp => return world.now - began,
            }
        }
    };
    assert_eq!(took([no_store(), lost()]), PATIENCE, "one that does not answer may know better");
    let all = took([no_store(), no_store()]);
    assert!(all >= STORE_PATIENCE && all <= STORE_PATIENCE + ROUND_PAUSE_MAX, "{all:?}");
}
