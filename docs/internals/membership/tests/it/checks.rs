use stateright::{Checker, Model};
use strongroom_membership_model::{Mistake, Protocol, ways_out};

/// Every state; the number keeps a model honest that suddenly has none of them.
fn check(protocol: Protocol, states_min: usize) {
    let checker = protocol.checker().spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.is_done() && checker.unique_state_count() >= states_min, "{}", checker.unique_state_count());
}

#[test]
fn three_members_of_one_host_keep_their_promises() {
    check(Protocol { changes: 1, askers: 1, ..Protocol::held() }, 250_000);
}

#[test]
fn two_members_of_one_host_keep_their_promises_to_every_request() {
    check(Protocol { members: 2, changes: 1, requests: true, ..Protocol::held() }, 10_000);
}

#[test]
fn two_changes_that_one_member_makes_do_not_take_each_others_reads() {
    check(Protocol { members: 2, askers: 1, ..Protocol::held() }, 10_000);
}

#[test]
fn two_members_of_two_hosts_keep_their_promises_to_every_request() {
    check(Protocol { members: 2, requests: true, ..Protocol::timed() }, 300_000);
}

#[test]
fn three_members_of_several_hosts_keep_their_promises() {
    // The one that is asked stays out of the table; with a life of its own it is among two members, above.
    check(Protocol { crashes: false, askers_live: false, ..Protocol::timed() }, 200_000);
}

#[test]
fn whoever_stops_a_change_can_be_acknowledged() {
    for (protocol, paused) in [
        (Protocol { members: 2, changes: 1, ..Protocol::held() }, 1),
        (Protocol { members: 2, ..Protocol::timed() }, 1),
        (Protocol { members: 2, askers: 2, crashes: false, ..Protocol::timed() }, 0),
    ] {
        let found = ways_out(&protocol, paused);
        assert!(found.is_ok(), "{protocol:?}, paused {paused}: {:#?}", found.err());
    }
}

#[test]
fn without_fencing_a_change_waits_for_ever_for_who_stopped() {
    for protocol in
        [Protocol { members: 2, changes: 1, ..Protocol::held() }, Protocol { members: 2, ..Protocol::timed() }]
    {
        let stuck = ways_out(&protocol.with(Mistake::NeverFence), 1).expect_err("nobody ends the member that stopped");
        assert!(stuck.0.acknowledged == 0 && stuck.0.table[1].is_some(), "{stuck:?}");
    }
}
