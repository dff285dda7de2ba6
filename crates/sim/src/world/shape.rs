//! What kind of world a seed gives.

use strongroom_core::member::LeaseKind;

use super::{At, MS, SECOND};

/// What is drawn once for a world.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) lease: LeaseKind,
    pub(crate) lease_ms: u64,
    pub(crate) hsms: usize,
    pub(crate) clients: usize,
    /// Crypto users that are there from the beginning.
    pub(crate) users: u32,
    pub(crate) deletions_kept: u64,
    pub(crate) faults_until: At,
    /// Mean time between two faults; none in a world without.
    pub(crate) fault_every: Option<At>,
    /// Of most faults in this world: which number they draw, of a hundred.
    pub(crate) favourite: Option<u32>,
    /// Whether nothing but the favourite happens, and to one HSM at a time: what one fault does is not hidden by others.
    pub(crate) is_pure: bool,
    /// Messages lost, in thousandths.
    pub(crate) loss: u32,
    /// The longest that a message usually takes.
    pub(crate) message_max: At,
    /// The longest that an operation of the store usually takes, one way.
    pub(crate) store_max: At,
    /// Whether somebody else lays hands on the disk.
    pub(crate) is_tampered: bool,
    /// Whether the last pause never ends.
    pub(crate) has_frozen: bool,
}

impl Shape {
    pub(crate) fn draw(rng: &mut fastrand::Rng) -> Shape {
        let lease = if rng.bool() { LeaseKind::Held } else { LeaseKind::Timed };
        let hsms = *rng.choice(&[1, 2, 3, 3, 3, 3, 4]).expect("some");
        let favourite = (rng.u32(0..3) > 0).then(|| *rng.choice(&[10, 40, 40, 40, 60, 70, 80, 95]).expect("some"));
        let is_pure = favourite.is_some() && rng.bool();
        let pick = |rng: &mut fastrand::Rng, of: &[u64]| *rng.choice(of).expect("some");
        Shape {
            lease,
            lease_ms: pick(rng, &[200, 300, 1_000, 3_000]),
            hsms,
            clients: rng.usize(3..7),
            users: rng.u32(2..4),
            deletions_kept: pick(rng, &[5, 40, 100_000]),
            faults_until: pick(rng, &[2, 4, 8]) * SECOND,
            fault_every: (rng.u32(0..10) > 0).then(|| pick(rng, &[150, 400, 1_000]) * MS),
            favourite,
            is_pure,
            loss: if is_pure { 0 } else { *rng.choice(&[0, 0, 5, 30]).expect("some") },
            message_max: pick(rng, &[200, 1_000, 20_000]),
            store_max: pick(rng, &[100, 1_000, 10_000]),
            is_tampered: rng.u32(0..10) == 0,
            has_frozen: hsms > 1 && rng.u32(0..4) == 0,
        }
    }
}
