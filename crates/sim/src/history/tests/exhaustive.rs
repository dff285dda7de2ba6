//! The index and the search say what trying everything says; and a long history takes seconds.

use super::*;

/// A simple way to judge one fact, by trying every write.
fn plainly(writes: &[(At, At, Value, bool)], (asked, answered): (At, At), fact: Fact) -> bool {
    let spans = writes.iter().map(|(from, to, value, definite)| (from + 1, to.saturating_add(1), *value, *definite));
    let spans: Vec<_> = spans.chain([(0, 0, 0, true)]).collect();
    spans.iter().filter(|span| fact.fits(span.2) && span.0 <= answered + 1).any(|span| {
        !spans.iter().any(|other| !fact.fits(other.2) && other.3 && other.0 > span.1 && other.1 < asked + 1)
    })
}

/// Numbers that look random and are always the same.
fn numbers(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

#[test]
fn the_index_says_what_trying_everything_says() {
    let mut next = numbers(1);
    let (mut legal, mut illegal) = (0, 0);
    for _ in 0..20_000 {
        let writes: Vec<(At, At, Value, bool)> = (0..next(6))
            .map(|_| {
                let (from, definite) = (next(20), next(4) > 0);
                (from, if definite || next(2) == 0 { from + next(8) } else { At::MAX }, next(3), definite)
            })
            .collect();
        let (from, fact) = (next(24), Fact { register: USER, value: next(3), holds: next(2) == 0 });
        let asked = (from, from + next(6));
        let expected = plainly(&writes, asked, fact);
        let mut operations: Vec<Operation> = writes
            .iter()
            .map(|(from, to, value, definite)| {
                let outcome = if *definite { Outcome::Done { facts: Vec::new() } } else { Outcome::Unknown };
                operation(1, (*from, *to), &[(USER, *value)], outcome)
            })
            .collect();
        operations.push(read(2, asked, fact));
        let mut history = History::default();
        operations.into_iter().for_each(|operation| history.push(operation));
        let found = history.check();
        assert_eq!(found.is_empty(), expected, "{history:?}\n{found:?}");
        *(if expected { &mut legal } else { &mut illegal }) += 1;
    }
    assert!(legal > 5_000 && illegal > 2_000, "{legal} legal, {illegal} not");
}

#[test]
fn two_facts_at_one_moment_are_what_trying_every_moment_says() {
    let mut next = numbers(3);
    let registers = [USER, KEY];
    let (mut together, mut apart) = (0, 0);
    for _ in 0..20_000 {
        let writes: Vec<(Register, At, At, Value, bool)> = (0..next(10))
            .map(|_| {
                let (from, definite) = (next(16), next(5) > 0);
                let to = if definite || next(2) == 0 { from + next(6) } else { At::MAX };
                (registers[usize::try_from(next(2)).expect("small")], from, to, next(2), definite)
            })
            .collect();
        let from = next(20);
        let asked = (from, from + next(14));
        let facts = registers.map(|register| Fact { register, value: next(2), holds: next(2) == 0 });
        let of = |register: Register| -> Vec<(At, At, Value, bool)> {
            let own = writes.iter().filter(|write| write.0 == register);
            own.map(|(_, from, to, value, definite)| (*from, *to, *value, *definite)).collect()
        };
        if !facts.iter().all(|fact| plainly(&of(fact.register), asked, *fact)) {
            continue;
        }
        // Every moment, by every write that either fact may rest on.
        let holds_at = |fact: &Fact, now: At| {
            let spans: Vec<_> = of(fact.register)
                .into_iter()
                .map(|(from, to, value, definite)| (from + 1, to.saturating_add(1), value, definite))
                .chain([(0, 0, 0, true)])
                .collect();
            let wrong = |span: &&(At, At, Value, bool)| span.3 && !fact.fits(span.2);
            spans.iter().filter(|span| fact.fits(span.2) && span.0 <= now).any(|span| {
                let later = || spans.iter().filter(wrong).filter(|other| other.0 > span.1);
                later().all(|other| now <= other.1) && later().all(|other| other.1 > asked.0)
            })
        };
        let expected = (0..=asked.1 + 1).any(|now| facts.iter().all(|fact| holds_at(fact, now)));
        let mut history = History::default();
        for (register, from, to, value, definite) in &writes {
            let outcome = if *definite { Outcome::Done { facts: Vec::new() } } else { Outcome::Unknown };
            history.push(operation(1, (*from, *to), &[(*register, *value)], outcome));
        }
        history.push(done(2, asked, &facts, &[]));
        let found = history.check();
        assert_eq!(found.is_empty(), expected, "{history:?}\n{found:?}");
        *(if expected { &mut together } else { &mut apart }) += 1;
    }
    assert!(together > 5_000 && apart > 50, "{together} together, {apart} apart");
}

/// Whether these changes of one register have an order, by trying all: one after another acts that none of the others had to
/// come before.
fn ordered(changes: &[Operation], left: &[usize], value: Value) -> bool {
    let must = |index: &usize| changes[*index].outcome != Outcome::Unknown;
    if !left.iter().any(must) {
        return true;
    }
    left.iter().any(|next| {
        let change = &changes[*next];
        let others: Vec<usize> = left.iter().filter(|other| *other != next).copied().collect();
        // One that is over before this one begins has acted, or never does.
        let late = others.iter().any(|other| must(other) && changes[*other].ended < change.invoked);
        let left: Vec<usize> =
            others.into_iter().filter(|other| must(other) || changes[*other].ended >= change.invoked).collect();
        let fits = match &change.outcome {
            Outcome::Done { facts } => facts.iter().all(|fact| fact.fits(value)),
            _ => true,
        };
        !late && fits && ordered(changes, &left, change.writes[0].value)
    })
}

#[test]
fn the_search_for_an_order_finds_one_where_trying_all_does() {
    let mut next = numbers(4);
    let (mut with, mut without) = (0, 0);
    for _ in 0..30_000 {
        let changes: Vec<Operation> = (0..2 + next(5))
            .map(|number| {
                let client = u32::try_from(number).expect("small");
                let (from, value) = (next(12), next(3));
                let facts = if next(4) == 0 {
                    Vec::new()
                } else {
                    vec![Fact { register: USER, value: next(3), holds: next(4) > 0 }]
                };
                match next(5) {
                    0 => unknown(client, from, USER, value),
                    1 => operation(client, (from, from + next(8)), &[(USER, value)], Outcome::Unknown),
                    _ => done(client, (from, from + next(8)), &facts, &[(USER, value)]),
                }
            })
            .collect();
        let all: Vec<usize> = (0..changes.len()).collect();
        let expected = ordered(&changes, &all, 0);
        let mut history = History::default();
        changes.iter().for_each(|change| history.push(change.clone()));
        let found = history.check();
        assert_eq!(found.is_empty(), expected, "{history:#?}\n{found:?}");
        *(if expected { &mut with } else { &mut without }) += 1;
    }
    assert!(with > 5_000 && without > 5_000, "{with} with an order, {without} without");
}

#[test]
fn a_long_history_of_a_correct_store_passes_quickly() {
    let mut next = numbers(2);
    let mut history = History::default();
    // One register in ten is used most; each operation acts at one moment within its interval.
    let mut values = vec![0; 2_000];
    for moment in 1..=100_000_u64 {
        let number = usize::try_from(if next(2) == 0 { next(200) } else { next(2_000) }).expect("small");
        let register = Register::Label(u32::try_from(number).expect("small"));
        let during = (10 * moment - next(10), 10 * moment + next(10));
        let fact = was(register, values[number]);
        let client = u32::try_from(moment % 50).expect("small");
        let operation = match next(3) {
            0 => {
                values[number] = next(3);
                done(client, during, &[fact], &[(register, values[number])])
            }
            1 => refused(client, during, &[fact, was(USER, 9)]),
            _ => read(client, during, fact),
        };
        history.push(operation);
    }
    assert_eq!(history.check(), []);
}
