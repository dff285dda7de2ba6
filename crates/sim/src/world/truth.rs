//! What is so: the batches that were committed, and the states that they give.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_core::{Batch, Outcome, Record, State, apply};
use strongroom_hsm::cluster::StateError;
use strongroom_hsm::cluster::sealing::Sealed;
use strongroom_hsm::cluster::view::View;
use strongroom_types::{RecordPath, RequestId, Revision};

use super::World;
use super::process::ProcessId;

/// The true history of the store.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    states: BTreeMap<Revision, State>,
    newest: State,
    steps: u64,
    /// Which batch a request acted in.
    acted: BTreeMap<RequestId, Revision>,
    /// Every form that a record ever had, sealed.
    pub(crate) forms: BTreeMap<RecordPath, Vec<(Revision, Vec<u8>)>>,
    /// The newest batch that took something away.
    pub(crate) revoked: Revision,
}

impl Truth {
    pub(crate) fn newest(&self) -> &State {
        &self.newest
    }

    pub(crate) fn has_acted(&self, request: RequestId) -> bool {
        self.acted.contains_key(&request)
    }
}

impl World {
    /// A batch took effect.
    pub(crate) fn is_true_now(&mut self, batch: &Batch, sealed: &Sealed) {
        let before = self.truth.newest.clone();
        for request in batch.puts.iter().filter_map(|record| acts(&before, record)).collect::<BTreeSet<_>>() {
            if let Some(earlier) = self.truth.acted.insert(request, batch.revision) {
                self.broken(format!("request {request:?} acted in revision {earlier} and again in {}", batch.revision));
            }
        }
        if let Err(error) = apply(&mut self.truth.newest, batch) {
            self.broken(format!("a committed batch cannot be applied: {error}"));
        }
        if strongroom_core::member::revokes(&before, &batch.puts, &batch.deletes) {
            self.truth.revoked = batch.revision;
        }
        self.truth.states.insert(batch.revision, self.truth.newest.clone());
        for (path, bytes) in &sealed.puts {
            self.recorder.seen(bytes);
            self.truth.forms.entry(*path).or_default().push((batch.revision, bytes.clone()));
        }
    }

    /// What a member applied is what is true at that revision.
    pub(crate) fn check_applied(&mut self, id: ProcessId) {
        // Comparing all of it at every step would take most of the time; whatever is wrong stays wrong.
        self.truth.steps += 1;
        if !self.truth.steps.is_multiple_of(6) {
            return;
        }
        let state = self.process(id).view.state().clone();
        self.check_state(id, &state);
    }

    pub(crate) fn check_view(&mut self, id: ProcessId, view: &View) {
        self.check_state(id, view.state());
    }

    fn check_state(&mut self, id: ProcessId, state: &State) {
        let revision = state.revision();
        if self.truth.states.get(&revision) != Some(state) {
            self.broken(format!("{id:?} has a state of revision {revision} that no commits give"));
        }
    }

    /// A running member met what it may not apply.
    pub(crate) fn says_damaged(&mut self, id: ProcessId, error: &StateError) {
        let text = format!("{error}");
        self.recorder.seen(text.as_bytes());
        self.trace("damaged", || format!("{id:?}: {text}"));
        if !self.tampering.has_been() {
            self.broken(format!("{id:?} calls a store damaged that nobody touched: {text}"));
        }
    }
}

/// The request that made this record, if the record is the trace of a change.
fn acts(before: &State, record: &Record) -> Option<RequestId> {
    match record {
        Record::User(user) if before.user(user.id).is_none() => user.creation.map(|creation| creation.request),
        Record::Key(key) if before.key(key.reference).is_none() => Some(key.creation.request),
        // These outlive what an earlier batch made.
        Record::Receipt(receipt) if !matches!(receipt.outcome, Outcome::KeyGone | Outcome::UserGone) => {
            Some(receipt.request)
        }
        _ => None,
    }
}
