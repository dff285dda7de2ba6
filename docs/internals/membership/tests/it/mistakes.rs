use stateright::{Checker, HasDiscoveries, Model};
use strongroom_membership_model::{Mistake, Protocol};

/// The mistake leads to a state in which this does not hold.
fn check(protocol: Protocol, mistake: Mistake, broken: &[&'static str]) {
    let checker = protocol.with(mistake).checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let held: Vec<_> = broken.iter().filter(|name| checker.discovery(name).is_some()).collect();
    assert!(!held.is_empty(), "{mistake:?} breaks none of {broken:?}; found: {:?}", checker.discoveries().keys());
}

const NEWEST: &str = "who serves has applied all that was acknowledged";
const STANDS: &str = "who serves has an entry, and has applied what it shows";
const STALE: &str = "no request is answered by less than was acknowledged before it came";
const UNSEEN: &str = "no request is answered by less than its client has seen";
const LATE: &str = "who is fenced or expired answers nothing";

fn held() -> Protocol {
    Protocol { members: 2, changes: 1, askers: 1, ..Protocol::held() }
}

fn timed() -> Protocol {
    Protocol { members: 2, ..Protocol::timed() }
}

#[test]
fn an_acknowledgement_before_the_others_were_looked_at_is_found() {
    check(held(), Mistake::AcknowledgeUnread, &[NEWEST]);
    check(timed(), Mistake::AcknowledgeUnread, &[NEWEST]);
}

#[test]
fn an_answer_without_a_look_at_the_clock_is_found() {
    check(Protocol { requests: true, ..timed() }, Mistake::AnswerExpired, &[LATE, STALE]);
}

#[test]
fn an_acknowledgement_by_a_read_that_began_before_the_commit_is_found() {
    check(Protocol { changes: 2, ..held() }, Mistake::CountEarlyRead, &[NEWEST]);
}

#[test]
fn a_fence_that_does_not_compare_is_found() {
    check(timed(), Mistake::FenceUnseen, &[STANDS, NEWEST]);
}

#[test]
fn a_fence_that_does_not_kill_is_found() {
    check(held(), Mistake::ForgetToKill, &[STANDS, NEWEST]);
}

#[test]
fn an_answer_by_less_than_the_client_has_seen_is_found() {
    check(Protocol { requests: true, ..held() }, Mistake::IgnoreSeen, &[UNSEEN]);
    check(Protocol { requests: true, ..timed() }, Mistake::IgnoreSeen, &[UNSEEN]);
}

#[test]
fn a_fence_before_the_lease_is_over_is_found() {
    check(timed(), Mistake::Impatience, &[STANDS, NEWEST]);
}

#[test]
fn a_lease_renewed_after_its_end_is_found() {
    check(timed(), Mistake::RenewExpired, &[NEWEST]);
}

#[test]
fn serving_without_catching_up_is_found() {
    check(held(), Mistake::SkipCatchUp, &[NEWEST]);
    check(timed(), Mistake::SkipCatchUp, &[NEWEST]);
}
