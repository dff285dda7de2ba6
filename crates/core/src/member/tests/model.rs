use strongroom_types::{HsmId, Incarnation, Revision};

use crate::member::{Acknowledgements, Entry, LeaseKind, Life, Step};

const LEASE: u64 = 30;

/// What happens to a life, by numbers that choose it.
fn happen(life: &mut Life, event: u64, now_ms: u64) {
    let revision = Revision(event / 16 % 4);
    match event % 8 {
        0 => life.joined(now_ms),
        1 => life.newest(revision),
        2 => life.applied(revision),
        3 => life.renewed(revision, now_ms),
        4 => life.renew_failed(now_ms),
        5 => life.fenced(),
        6 => life.renew_early(),
        _ => drop(life.next(now_ms)),
    }
}

/// Numbers without a pattern (Knuth's MMIX generator).
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let next = |last: &u64| Some(last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(next(&seed), next).map(|number| number >> 33)
}

#[test]
fn a_life_by_another_clock_does_the_same() {
    for seed in 0..400 {
        let kind = if seed % 2 == 0 { LeaseKind::Held } else { LeaseKind::Timed };
        let mut life = Life::new(kind, LEASE, Revision(1));
        let (mut now_ms, mut events) = (500, numbers(seed));
        for event in events.by_ref().take(usize::try_from(seed).unwrap() % 40) {
            now_ms += event / 64 % 12;
            happen(&mut life, event, now_ms);
        }
        let (mut other, behind_ms) = (life.by_another_clock(now_ms, 100), now_ms - 100);
        assert_eq!(other, other.by_another_clock(100, 100));
        for event in events.take(60) {
            now_ms += event / 64 % 12;
            happen(&mut life, event, now_ms);
            happen(&mut other, event, now_ms - behind_ms);
            let steps: [Step; 2] = [life.clone().next(now_ms), other.clone().next(now_ms - behind_ms)];
            assert_eq!(steps[0], steps[1], "{life:?}, {other:?}");
            assert_eq!(life.serves(now_ms).is_some(), other.serves(now_ms - behind_ms).is_some());
            assert_eq!(life.has_served(), other.has_served());
        }
    }
}

#[test]
fn who_waits_by_another_clock_fences_at_the_same_time() {
    let entry = |number: u8, beat| Entry {
        hsm_id: HsmId::from_random([number; 7]),
        incarnation: Incarnation::from_bytes([number; 16]),
        applied: Revision(4),
        beat,
    };
    for age_ms in 0..2 * LEASE {
        let mut waiting = Acknowledgements::new(LeaseKind::Timed, LEASE);
        waiting.wait_for((), Revision(5));
        let look = |waiting: &mut Acknowledgements<()>, entry: Entry, now_ms| {
            let mark = waiting.begin_read();
            waiting.read(mark, &[entry], None, now_ms).fence.len()
        };
        assert_eq!(look(&mut waiting, entry(1, 7), 1_000), 0);
        // The same entry under another name.
        let name = |incarnation, beat| {
            assert_eq!((incarnation, beat), (entry(1, 7).incarnation, 7));
            Some((entry(2, 3).incarnation, 3))
        };
        let other = waiting.by_another_clock(1_000 + age_ms, 100, name);
        assert!(other.watched(100).eq([(entry(2, 3).incarnation, 3, age_ms.min(LEASE + LEASE / 10 + 1))]));
        for later_ms in 0..2 * LEASE {
            let expected = look(&mut waiting.clone(), entry(1, 7), 1_000 + age_ms + later_ms);
            assert_eq!(look(&mut other.clone(), entry(2, 3), 100 + later_ms), expected, "{age_ms}, {later_ms}");
        }
        assert_eq!(waiting.by_another_clock(1_000, 100, |_, _| None).watched(100).count(), 0);
    }
}
