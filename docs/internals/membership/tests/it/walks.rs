//! Long ways at random through what is too large to be walked through whole: three members, all that can happen to them.

use stateright::{Expectation, Model};
use strongroom_membership_model::{LeaseKind, Mistake, Protocol, State};

const WALKS: u64 = 4_000;
const STEPS: usize = 250;

/// Every step is made of what is possible; the first promise that is broken on the way.
fn walk(protocol: &Protocol, seed: u64) -> Option<&'static str> {
    let always = protocol.properties().into_iter().filter(|property| property.expectation == Expectation::Always);
    let always: Vec<_> = always.collect();
    let mut state: State = protocol.init_states().remove(0);
    // xorshift64* (Vigna); a seed of 0 would stay 0.
    let mut number = seed + 1;
    let mut actions = Vec::new();
    for _ in 0..STEPS {
        actions.clear();
        protocol.actions(&state, &mut actions);
        number ^= number >> 12;
        number ^= number << 25;
        number ^= number >> 27;
        let chosen = usize::try_from(number.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).expect("32 bits fit");
        state = protocol.after(&state, actions[chosen % actions.len()]);
        if let Some(broken) = always.iter().find(|property| !(property.condition)(protocol, &state)) {
            return Some(broken.name);
        }
    }
    None
}

fn wide(kind: LeaseKind) -> Protocol {
    let lost_renewals = kind == LeaseKind::Timed;
    Protocol { kind, changes: 3, requests: true, lost_renewals, ..Protocol::held() }
}

#[test]
fn three_members_keep_their_promises_on_long_ways() {
    for kind in [LeaseKind::Held, LeaseKind::Timed] {
        for crashes in [false, true] {
            let protocol = Protocol { crashes, ..wide(kind) };
            for seed in 0..WALKS / 2 {
                assert_eq!(walk(&protocol, seed), None, "{protocol:?}, seed {seed}");
            }
        }
    }
}

#[test]
fn long_ways_meet_mistakes() {
    for mistake in [Mistake::AcknowledgeUnread, Mistake::SkipCatchUp] {
        let protocol = Protocol { crashes: false, ..wide(LeaseKind::Timed) }.with(mistake);
        assert!((0..WALKS).any(|seed| walk(&protocol, seed).is_some()), "no walk meets {mistake:?}");
    }
}
