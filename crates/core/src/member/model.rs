//! For checkers of models, which must know when two members are alike: the same state by another clock. A checker that
//! did not would walk through the same few states for ever, because clocks and numbers only grow.

use std::collections::BTreeMap;

use strongroom_types::{Incarnation, Revision};

use super::acknowledge::Behind;
use super::life::Phase;
use super::{Acknowledgements, LeaseKind, Life};

impl Life {
    /// The life that does by a clock that reads `to_ms` what this one does by one that reads `now_ms`.
    ///
    /// What is past is alike, what was true of a life that ended does not matter, and of the times that serving began
    /// only whether there were any.
    pub fn by_another_clock(&self, now_ms: u64, to_ms: u64) -> Life {
        let at = |time_ms: u64| to_ms.saturating_add(time_ms.saturating_sub(now_ms));
        let mut life = self.clone();
        life.served = self.served.min(1);
        life.retry_at_ms = at(self.retry_at_ms);
        if self.phase == Phase::Out {
            (life.shown, life.renew_at_ms, life.until_ms) = (Revision(0), to_ms, to_ms);
            return life;
        }
        life.renew_at_ms = at(self.renew_at_ms);
        life.until_ms = match self.kind {
            LeaseKind::Held => to_ms,
            LeaseKind::Timed => at(self.until_ms),
        };
        if let Phase::Behind(newest) = self.phase {
            life.phase = Phase::Behind(newest.max(self.applied));
        }
        life
    }
}

impl<T: Clone + PartialEq> Acknowledgements<T> {
    /// Which entries keep a change waiting, as last seen: whose, with which beat, and for how long, in milliseconds.
    pub fn watched(&self, now_ms: u64) -> impl Iterator<Item = (Incarnation, u64, u64)> {
        let behind = self.behind.iter();
        behind.map(move |(incarnation, behind)| (*incarnation, behind.beat, now_ms.saturating_sub(behind.since_ms)))
    }

    /// What does by a clock that reads `to_ms` what this does by one that reads `now_ms`; with other names for entries
    /// and their beats, and without those that get none because no read will show them again.
    pub fn by_another_clock(
        &self,
        now_ms: u64,
        to_ms: u64,
        rename: impl Fn(Incarnation, u64) -> Option<(Incarnation, u64)>,
    ) -> Acknowledgements<T> {
        let longest_ms = self.kind.patience_ms(self.lease_ms).saturating_add(1);
        let mut behind = BTreeMap::new();
        for (incarnation, one) in &self.behind {
            let Some((incarnation, beat)) = rename(*incarnation, one.beat) else { continue };
            let age_ms = now_ms.saturating_sub(one.since_ms).min(longest_ms);
            behind.insert(incarnation, Behind { applied: one.applied, beat, since_ms: to_ms.saturating_sub(age_ms) });
        }
        let mut other = self.clone();
        other.behind = behind;
        other
    }
}
