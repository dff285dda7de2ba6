//! Each rule with a history that keeps it and one that breaks it by a hair.

use super::*;

mod exhaustive;

const USER: Register = Register::User(1);
const KEY: Register = Register::Key(7);
const MAY: Register = Register::MayUse { key: 7, user: 1 };
const PASSWORD: Register = Register::Password(1);
const LABEL: Register = Register::Label(7);

/// One operation of a client from one moment to another.
fn operation(client: u32, (invoked, ended): (At, At), writes: &[(Register, Value)], outcome: Outcome) -> Operation {
    let writes: Vec<Write> =
        writes.iter().map(|(register, value)| Write { register: *register, value: *value }).collect();
    let what = if writes.is_empty() { "read".to_owned() } else { format!("{writes:?}") };
    Operation { client, what, invoked, ended, writes, outcome, created: None }
}

fn done(client: u32, during: (At, At), facts: &[Fact], writes: &[(Register, Value)]) -> Operation {
    operation(client, during, writes, Outcome::Done { facts: facts.to_vec() })
}

fn write(client: u32, during: (At, At), register: Register, value: Value) -> Operation {
    done(client, during, &[], &[(register, value)])
}

fn read(client: u32, during: (At, At), fact: Fact) -> Operation {
    done(client, during, &[fact], &[])
}

fn unknown(client: u32, invoked: At, register: Register, value: Value) -> Operation {
    operation(client, (invoked, At::MAX), &[(register, value)], Outcome::Unknown)
}

fn refused(client: u32, during: (At, At), any_of: &[Fact]) -> Operation {
    operation(client, during, &[], Outcome::Refused { any_of: any_of.to_vec() })
}

fn was(register: Register, value: Value) -> Fact {
    Fact::was(register, value)
}

fn was_not(register: Register, value: Value) -> Fact {
    Fact::was_not(register, value)
}

/// The rules that the operations break, in any order of theirs.
#[track_caller]
fn check(operations: &[Operation], expected: &[Rule]) {
    let broken = |operations: &mut dyn Iterator<Item = &Operation>| {
        let mut history = History::default();
        operations.for_each(|operation| history.push(operation.clone()));
        history.check()
    };
    let rules = |violations: &[Violation]| violations.iter().map(|violation| violation.rule).collect::<Vec<_>>();
    let found = broken(&mut operations.iter());
    assert_eq!(rules(&found), expected, "{found:#?}");
    let mut backwards = rules(&broken(&mut operations.iter().rev()));
    backwards.sort();
    let mut sorted = expected.to_vec();
    sorted.sort();
    assert_eq!(backwards, sorted, "recorded the other way round");
}

#[test]
fn nothing_happened() {
    check(&[], &[]);
    check(&[read(1, (0, 0), was(USER, 0)), read(1, (0, 0), was_not(USER, 1))], &[]);
    check(&[read(1, (0, 5), was(USER, 1))], &[Rule::NotLinearizable]);
    check(&[read(1, (0, 5), was_not(USER, 0))], &[Rule::NotLinearizable]);
}

#[test]
fn an_acknowledged_creation_is_there_from_its_acknowledgement_on() {
    let made = write(1, (10, 20), USER, 1);
    for absent in [was(USER, 0), was_not(USER, 1)] {
        check(&[made.clone(), read(2, (0, 9), absent)], &[]);
        check(&[made.clone(), read(2, (15, 16), absent)], &[]);
        // Touching is overlapping.
        check(&[made.clone(), read(2, (20, 30), absent)], &[]);
        check(&[made.clone(), read(2, (21, 30), absent)], &[Rule::LostChange]);
        check(&[made.clone(), refused(2, (20, 30), &[absent])], &[]);
        check(&[made.clone(), refused(2, (21, 30), &[absent])], &[Rule::LostChange]);
    }
}

#[test]
fn nothing_is_there_before_it_was_asked_for() {
    let made = write(1, (10, 20), USER, 1);
    for present in [was(USER, 1), was_not(USER, 0)] {
        check(&[made.clone(), read(2, (0, 9), present)], &[Rule::NotLinearizable]);
        check(&[made.clone(), read(2, (0, 10), present)], &[]);
        check(&[made.clone(), read(2, (12, 13), present)], &[]);
        check(&[made.clone(), read(2, (90, 91), present)], &[]);
    }
}

#[test]
fn a_right_that_was_taken_is_honoured_until_its_acknowledgement_and_no_longer() {
    let given = write(1, (0, 5), MAY, 1);
    let taken = write(1, (10, 20), MAY, 0);
    for honoured in [was(MAY, 1), was_not(MAY, 0)] {
        check(&[given.clone(), taken.clone(), read(2, (15, 16), honoured)], &[]);
        check(&[given.clone(), taken.clone(), read(2, (20, 99), honoured)], &[]);
        check(&[given.clone(), taken.clone(), read(2, (21, 99), honoured)], &[Rule::RevokedHonoured]);
        // Given anew at the same time, it may be honoured; given anew later, not yet.
        check(&[given.clone(), taken.clone(), write(3, (98, 99), MAY, 1), read(2, (21, 98), honoured)], &[]);
        let later = [given.clone(), taken.clone(), write(3, (99, 99), MAY, 1), read(2, (21, 98), honoured)];
        check(&later, &[Rule::RevokedHonoured]);
    }
}

#[test]
fn of_changes_that_overlap_either_may_be_the_last() {
    let given = write(1, (0, 11), MAY, 1);
    let taken = write(2, (10, 20), MAY, 0);
    check(&[given.clone(), taken.clone(), read(3, (30, 31), was(MAY, 1))], &[]);
    check(&[given.clone(), taken.clone(), read(3, (30, 31), was(MAY, 0))], &[]);
    let before = write(1, (0, 9), MAY, 1);
    check(&[before, taken, read(3, (30, 31), was(MAY, 1))], &[Rule::RevokedHonoured]);
}

#[test]
fn an_old_password_is_a_right_and_a_new_one_a_change() {
    let first = write(1, (10, 20), PASSWORD, 1);
    let second = write(1, (30, 40), PASSWORD, 2);
    let both = [first.clone(), second.clone()];
    let check = |fact, expected: &[Rule]| {
        check(&[both[0].clone(), both[1].clone(), read(2, (41, 50), fact)], expected);
    };
    check(was(PASSWORD, 2), &[]);
    check(was(PASSWORD, 1), &[Rule::RevokedHonoured]);
    check(was(PASSWORD, 0), &[Rule::RevokedHonoured]);
    check(was_not(PASSWORD, 2), &[Rule::LostChange]);
    check(was_not(PASSWORD, 1), &[]);
    check(was(PASSWORD, 3), &[Rule::NotLinearizable]);
}

#[test]
fn a_label_is_no_right() {
    let set = [write(1, (0, 5), LABEL, 1), write(1, (10, 20), LABEL, 2)];
    check(&[set[0].clone(), set[1].clone(), read(2, (21, 22), was(LABEL, 1))], &[Rule::LostChange]);
    check(&[set[0].clone(), set[1].clone(), read(2, (21, 22), was(LABEL, 2))], &[]);
}

#[test]
fn what_was_not_answered_may_have_acted_at_any_time_or_never() {
    let made = write(1, (0, 5), KEY, 1);
    let deletion = unknown(1, 10, KEY, 0);
    for fact in [was(KEY, 0), was(KEY, 1)] {
        check(&[made.clone(), deletion.clone(), read(2, (1_000, 1_001), fact)], &[]);
        check(&[made.clone(), deletion.clone(), read(2, (10, 10), fact)], &[]);
    }
    // Not before it was asked for.
    check(&[made.clone(), deletion.clone(), read(2, (6, 9), was(KEY, 0))], &[Rule::LostChange]);
    // It acted late: after a change that was asked for after it.
    let again = write(1, (20, 30), KEY, 1);
    let late = [made.clone(), deletion.clone(), again.clone(), read(2, (40, 41), was(KEY, 1))];
    check(&[&late[..], &[read(2, (42, 43), was(KEY, 0))]].concat(), &[]);
    // It is no proof that anything was taken away.
    check(&[made, deletion, read(2, (50, 51), was(KEY, 0)), read(3, (60, 61), was(KEY, 1))], &[]);
}

#[test]
fn what_was_not_answered_may_have_a_last_moment() {
    let made = write(1, (0, 5), KEY, 1);
    let deletion = operation(1, (10, 20), &[(KEY, 0)], Outcome::Unknown);
    let again = write(1, (30, 40), KEY, 1);
    for fact in [was(KEY, 0), was(KEY, 1)] {
        check(&[made.clone(), deletion.clone(), read(2, (21, 29), fact)], &[]);
    }
    check(&[made, deletion, again, read(2, (41, 42), was(KEY, 0))], &[Rule::LostChange]);
}

#[test]
fn a_refused_change_has_not_acted() {
    let refusal = operation(1, (0, 5), &[(USER, 1)], Outcome::Refused { any_of: Vec::new() });
    check(&[refusal.clone(), read(2, (6, 7), was(USER, 0))], &[]);
    check(&[refusal, read(2, (6, 7), was(USER, 1))], &[Rule::NotLinearizable]);
}

#[test]
fn one_reason_of_several_is_enough() {
    let history = |any_of: &[Fact]| [write(1, (0, 5), USER, 1), write(1, (6, 7), KEY, 1), refused(2, (10, 11), any_of)];
    check(&history(&[was(USER, 0), was(MAY, 0)]), &[]);
    check(&history(&[was(USER, 0), was(KEY, 0)]), &[Rule::LostChange]);
    check(&history(&[]), &[]);
}

#[test]
fn every_fact_of_a_success_counts() {
    let facts = [was(KEY, 1), was(MAY, 1)];
    let history = |given: (At, At)| [write(1, (0, 5), KEY, 1), write(1, given, MAY, 1), done(2, (10, 11), &facts, &[])];
    check(&history((6, 7)), &[]);
    check(&history((11, 12)), &[]);
    check(&history((12, 13)), &[Rule::NotLinearizable]);
}

#[test]
fn what_one_answer_tells_was_so_at_one_moment() {
    let facts = [was(MAY, 1), was(Register::Login(3), 1)];
    // A right that is given while a login ends.
    let history = |given: (At, At), out: (At, At)| {
        let given = [write(1, (0, 1), Register::Login(3), 1), write(1, given, MAY, 1)];
        [&given[..], &[write(1, out, Register::Login(3), 0), done(2, (10, 40), &facts, &[])]].concat()
    };
    check(&history((5, 20), (15, 30)), &[]);
    check(&history((20, 30), (15, 20)), &[]);
    // The login had ended before the right was asked for: each was so during the request, and never both.
    check(&history((21, 30), (15, 20)), &[Rule::NotLinearizable]);
    // Opened again, perhaps.
    let again = unknown(1, 22, Register::Login(3), 1);
    check(&[&history((21, 30), (15, 20))[..], &[again]].concat(), &[]);
    let late = unknown(1, 41, Register::Login(3), 1);
    check(&[&history((21, 30), (15, 20))[..], &[late]].concat(), &[Rule::NotLinearizable]);
    // The other way to say it.
    let facts = [was_not(MAY, 0), was_not(Register::Login(3), 0)];
    let mut apart = history((21, 30), (15, 20));
    apart[3] = done(2, (10, 40), &facts, &[]);
    check(&apart, &[Rule::NotLinearizable]);
    let mut together = history((20, 30), (15, 20));
    together[3] = done(2, (10, 40), &facts, &[]);
    check(&together, &[]);
    // A refusal that tells one of two things tells nothing of both.
    let mut refusal = history((21, 30), (15, 20));
    refusal[3] = refused(2, (10, 40), &facts);
    check(&refusal, &[]);
}

#[test]
fn a_client_does_not_see_time_go_back() {
    // Between commit and acknowledgement, old and new.
    let change = write(1, (10, 100), MAY, 1);
    let reads = |first: (At, At), second: (At, At)| [read(2, first, was(MAY, 1)), read(2, second, was(MAY, 0))];
    check(&[&[change.clone()][..], &reads((20, 30), (31, 40))].concat(), &[Rule::WentBack]);
    // Its own requests overlap.
    check(&[&[change.clone()][..], &reads((20, 30), (30, 40))].concat(), &[]);
    // Another client may still see the old.
    check(&[change.clone(), read(2, (20, 30), was(MAY, 1)), read(3, (31, 40), was(MAY, 0))], &[]);
    // What has not been seen is not gone back from.
    check(&[change.clone(), read(2, (20, 30), was(MAY, 0)), read(2, (31, 40), was(MAY, 0))], &[]);
    // It may have been taken away again.
    let taken = unknown(3, 35, MAY, 0);
    check(&[&[change.clone(), taken.clone()][..], &reads((20, 30), (31, 40))].concat(), &[]);
    check(&[&[change, taken][..], &reads((20, 30), (31, 34))].concat(), &[Rule::WentBack]);
}

#[test]
fn of_what_overlaps_either_may_be_seen_first() {
    let changes = [write(1, (10, 100), PASSWORD, 1), write(3, (10, 100), PASSWORD, 2)];
    let seen = |values: [Value; 2]| {
        let mut at = 20;
        let mut next = |value| {
            at += 10;
            read(2, (at, at + 5), was(PASSWORD, value))
        };
        values.map(&mut next).to_vec()
    };
    check(&[&changes[..], &seen([1, 2])].concat(), &[]);
    check(&[&changes[..], &seen([2, 1])].concat(), &[]);
    check(&[&changes[..], &seen([1, 0])].concat(), &[Rule::WentBack]);
    check(&[&changes[..], &seen([2, 0])].concat(), &[Rule::WentBack]);
}

#[test]
fn a_refusal_with_one_reason_is_something_seen() {
    let change = write(1, (10, 100), MAY, 1);
    let saw = read(2, (20, 30), was(MAY, 1));
    check(&[change.clone(), saw.clone(), refused(2, (31, 40), &[was(MAY, 0)])], &[Rule::WentBack]);
    check(&[change.clone(), saw, refused(2, (31, 40), &[was(MAY, 0), was(KEY, 0)])], &[]);
    // Of several reasons it is not known which one was seen.
    let several = refused(2, (20, 30), &[was_not(MAY, 0), was(KEY, 0)]);
    check(&[change, several, read(2, (31, 40), was(MAY, 0))], &[]);
}

#[test]
fn an_operation_does_not_rest_on_what_it_writes_itself() {
    // Whoever makes a user found none.
    check(&[done(1, (0, 5), &[was(USER, 0)], &[(USER, 1)])], &[]);
    check(&[done(1, (0, 5), &[was(USER, 1)], &[(USER, 1)])], &[Rule::NotLinearizable]);
    check(&[done(1, (0, 5), &[was_not(USER, 0)], &[(USER, 1)])], &[Rule::NotLinearizable]);
    // Another's write at the same time will do, also one that begins later.
    let other = write(2, (3, 9), USER, 1);
    check(&[done(1, (0, 5), &[was(USER, 1)], &[(USER, 1)]), other.clone()], &[]);
    check(&[done(1, (0, 2), &[was(USER, 1)], &[(USER, 1)]), other], &[Rule::NotLinearizable]);
}

#[test]
fn of_two_that_made_the_same_thing_one_lies() {
    let make = |client, during| done(client, during, &[was(USER, 0)], &[(USER, 1)]);
    // Each alone may be true.
    check(&[make(1, (0, 10)), make(2, (5, 15))], &[Rule::NotLinearizable]);
    let between = |during| done(3, during, &[was(USER, 1)], &[(USER, 0)]);
    check(&[make(1, (0, 10)), make(2, (5, 15)), between((7, 8))], &[]);
    check(&[make(1, (0, 10)), make(2, (5, 15)), between((15, 16))], &[]);
    check(&[make(1, (0, 10)), make(2, (5, 15)), between((16, 17))], &[Rule::NotLinearizable]);
    // A deletion without an answer may have come between them; one alone cannot do it twice.
    let make_three = [make(1, (0, 10)), make(2, (5, 15)), make(3, (5, 15))];
    check(&[&make_three[..2], &[unknown(4, 15, USER, 0)]].concat(), &[]);
    check(&[&make_three[..2], &[unknown(4, 16, USER, 0)]].concat(), &[Rule::NotLinearizable]);
    check(&[&make_three[..], &[unknown(4, 2, USER, 0)]].concat(), &[Rule::NotLinearizable]);
    check(&[&make_three[..], &[unknown(4, 2, USER, 0), unknown(5, 3, USER, 0)]].concat(), &[]);
}

#[test]
fn a_chain_of_changes_that_replace_each_other_has_an_order() {
    let replace = |client, during, old, new| done(client, during, &[was(PASSWORD, old)], &[(PASSWORD, new)]);
    let all = [replace(1, (0, 50), 2, 3), replace(2, (0, 50), 0, 1), replace(3, (0, 50), 1, 2)];
    check(&all, &[]);
    // Both say that they replaced 1.
    check(&[&all[..], &[replace(4, (0, 50), 1, 4)]].concat(), &[Rule::NotLinearizable]);
    // An unknown one that ended may have acted before it did, and not after.
    let late = |last| [replace(2, (0, 5), 0, 1), operation(3, (0, last), &[(PASSWORD, 2)], Outcome::Unknown)];
    check(&[&late(60)[..], &[replace(1, (50, 55), 2, 3), replace(1, (56, 58), 3, 4)]].concat(), &[]);
    let twice = [replace(1, (6, 7), 2, 3), replace(4, (6, 7), 2, 4)];
    check(&[&late(60)[..], &twice].concat(), &[Rule::NotLinearizable]);
}

#[test]
fn a_user_is_not_deleted_as_one_without_keys_while_that_user_makes_one() {
    let user = write(1, (0, 1), USER, 1);
    let make = done(2, (10, 20), &[was(USER, 1), was(KEY, 0)], &[(KEY, 1)]);
    let delete = |during| done(3, during, &[was(USER, 1), was(KEY, 0)], &[(USER, 0)]);
    // Each is legal by itself, and each register has an order of its changes.
    check(&[user.clone(), make.clone(), delete((12, 18))], &[Rule::NotLinearizable]);
    check(&[user.clone(), make.clone(), delete((20, 30))], &[Rule::NotLinearizable]);
    // The key may have gone, or the user come, in between.
    check(&[user.clone(), make.clone(), delete((12, 18)), unknown(2, 18, KEY, 0)], &[]);
    check(&[user.clone(), make.clone(), delete((12, 18)), unknown(1, 12, USER, 1)], &[]);
    check(&[user.clone(), make.clone(), delete((12, 18)), unknown(2, 19, KEY, 0)], &[Rule::NotLinearizable]);
    // A deletion without an answer may not have acted.
    let maybe = operation(3, (12, At::MAX), &[(USER, 0)], Outcome::Unknown);
    check(&[user, make, maybe], &[]);
}

#[test]
fn nobody_sees_a_later_change_without_an_earlier_one() {
    // The second change found the first; who saw the second has seen the first.
    let (first, second) = (write(1, (10, 50), MAY, 1), done(2, (10, 50), &[was(MAY, 1)], &[(KEY, 1)]));
    let saw = |may| done(3, (20, 30), &[was(KEY, 1), was(MAY, may)], &[]);
    check(&[first.clone(), second.clone(), saw(1)], &[]);
    check(&[first.clone(), second.clone(), saw(0)], &[Rule::NotLinearizable]);
    check(&[first.clone(), second.clone(), saw(0), unknown(4, 30, MAY, 0)], &[]);
    check(&[first, second, saw(0), unknown(4, 31, MAY, 0)], &[Rule::NotLinearizable]);
}

#[test]
fn a_login_is_no_change_of_the_state() {
    // Opened on a member that knew the change; used on one that did not know it yet, before it was acknowledged.
    let login = Register::Login(3);
    let change = write(1, (10, 50), PASSWORD, 1);
    let opened = done(2, (11, 20), &[was(PASSWORD, 1)], &[(login, 1)]);
    let used = done(3, (21, 30), &[was(login, 1), was(PASSWORD, 0)], &[]);
    check(&[change, opened, used], &[]);
}

#[test]
fn a_reference_is_answered_once() {
    let create = |client, reference| Operation { created: Some(reference), ..write(client, (0, 5), KEY, 1) };
    check(&[create(1, 5), create(2, 6)], &[]);
    check(&[create(1, 5), create(2, 5)], &[Rule::ActedTwice]);
}

#[test]
fn a_contradiction_names_both_operations() {
    let mut history = History::default();
    let taken = Operation { what: "unshare".into(), ..write(1, (10, 2_000_020), MAY, 0) };
    let used = Operation { what: "sign".into(), ..read(2, (3_000_000, 3_000_001), was(MAY, 1)) };
    [write(1, (0, 5), MAY, 1), taken, used].into_iter().for_each(|operation| history.push(operation));
    let found = history.check();
    let text = found[0].to_string();
    for words in [
        "a revoked right was honoured after its acknowledgement",
        "user 1's right to key 7 was 1",
        "client 2: sign [3.000000 s to 3.000001 s, done]",
        "client 1: unshare [0.000010 s to 2.000020 s, done]: user 1's right to key 7 was 0 from 2.000020 s at the latest",
    ] {
        assert!(text.contains(words), "{words:?} is missing in {text}");
    }
}

#[test]
fn one_bug_does_not_fill_the_report() {
    let mut history = History::default();
    history.push(write(1, (0, 1), USER, 1));
    (0..1_000).for_each(|number| history.push(read(2, (10 + number, 10 + number), was(USER, 0))));
    assert_eq!(history.check().len(), VIOLATIONS_MAX);
}

#[test]
#[should_panic(expected = "ended before it began")]
fn a_clock_that_goes_back_is_no_clock() {
    History::default().push(write(1, (5, 4), USER, 1));
}
