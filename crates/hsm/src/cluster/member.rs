//! The member thread: joining, following the store, showing what was applied, renewing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strongroom_core::State;
use strongroom_core::member::{LeaseKind, Life, Step};
use strongroom_store::{JoinError, Moment, RenewError, StoreError};
use strongroom_types::Revision;
use thiserror::Error;

use super::following::{FollowError, out_of_reach};
use super::sealing::anchor_of;
use super::shared::{Asked, Shared};
use super::{StartError, StateError, clock};

/// The longest sleep without looking whether the member stops.
const REST_MS_MAX: u64 = 500;
/// A clock that moved by more, in milliseconds, is shown at once.
const CLOCK_JUMP_MS: u64 = 1_000;
/// After a failure.
const PAUSE: Duration = Duration::from_millis(100);

/// What the member thread keeps.
pub(super) struct Member {
    life: Life,
    /// What the last wait saw.
    moment: Option<Moment>,
    /// The clock that the entry shows, less CLOCK_BOOTTIME, in milliseconds.
    clock_shown_ms: u64,
    /// What went wrong since the store was last read, so that it is said once.
    trouble: Option<String>,
}

impl Member {
    pub(super) fn new(lease: LeaseKind, lease_ms: u64, state: &State) -> Member {
        Member { life: Life::new(lease, lease_ms, state.revision()), moment: None, clock_shown_ms: 0, trouble: None }
    }
}

impl Member {
    fn say_once(&mut self, shared: &Shared, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            shared.notices.say(&trouble);
            self.trouble = Some(trouble);
        }
    }
}

#[derive(Debug, Error)]
enum Trouble {
    #[error("{0}")]
    Join(JoinError),
    #[error("{0}")]
    Store(StoreError),
    #[error("{0}")]
    Follow(FollowError),
}

/// Joins and catches up; returns when this member serves.
pub(super) fn begin(shared: &Shared) -> Result<(), StartError> {
    let mut member = shared.member.lock().unwrap_or_else(PoisonError::into_inner);
    while member.life.serves(clock::boottime_ms()).is_none() {
        turn(shared, &mut member, false).map_err(|trouble| match trouble {
            Trouble::Join(error) => StartError::Join(error),
            Trouble::Store(error) | Trouble::Follow(FollowError::Unavailable(error)) => StartError::Store(error),
            Trouble::Follow(FollowError::Damaged(why)) => StartError::State(StateError::Running(why)),
        })?;
    }
    Ok(())
}

/// Runs until the member stops.
pub(super) fn run(shared: &Shared) {
    let mut member = shared.member.lock().unwrap_or_else(PoisonError::into_inner);
    while !shared.stopping.is_set() {
        match catch_unwind(AssertUnwindSafe(|| turn(shared, &mut member, true))) {
            Ok(Ok(())) => continue,
            // Said where it was met.
            Ok(Err(Trouble::Follow(FollowError::Damaged(_)))) => {}
            Ok(Err(trouble)) => member.say_once(shared, trouble.to_string()),
            Err(_) => {
                // What it did is not known: begin a new life, which answers nothing that this one began.
                member.life.fenced();
                shared.serving.end();
                member.say_once(shared, String::from("following the store failed inside"));
            }
        }
        shared.stopping.pause(PAUSE);
    }
    shared.serving.end();
    anchor_all(shared);
}

/// One step.
fn turn(shared: &Shared, member: &mut Member, may_rest: bool) -> Result<(), Trouble> {
    member.life.applied(shared.state.load().revision());
    if member.life.has_served() && clock_less_boottime(shared).abs_diff(member.clock_shown_ms) > CLOCK_JUMP_MS {
        // Others judge their clocks by the entry.
        member.life.renew_early();
    }
    let step = member.life.next(clock::boottime_ms());
    set_serving(shared, &member.life);
    match step {
        Step::Join => join(shared, member),
        Step::ReadNewest => {
            let moment = shared.store.moment().map_err(Trouble::Store)?;
            member.moment = Some(moment);
            member.life.newest(moment.revision);
            Ok(())
        }
        Step::CatchUp(_) => {
            let applied = shared.follow().map_err(Trouble::Follow)?;
            member.life.applied(applied);
            Ok(())
        }
        Step::Renew => renew(shared, member),
        Step::Rest(_) if !may_rest => Ok(()),
        Step::Rest(ms) => rest(shared, member, ms),
    }
}

/// No answer that was begun in an earlier life is given from here on: the life's number changes.
fn set_serving(shared: &Shared, life: &Life) {
    match life.serves(clock::boottime_ms()) {
        Some(number) if !shared.stopping.is_set() => shared.serving.set(number, life.until_ms()),
        _ => shared.serving.end(),
    }
}

fn join(shared: &Shared, member: &mut Member) -> Result<(), Trouble> {
    if member.life.has_served() {
        shared.notices.say("this HSM's entry in the member table is gone; it joins anew");
    }
    // An entry whose lease ran out may still stand.
    shared.store.leave();
    let began_ms = clock::boottime_ms();
    member.clock_shown_ms = clock_less_boottime(shared);
    shared.store.join(&shared.hsm_id, anchored(shared), shared.clock.now_ms()).map_err(Trouble::Join)?;
    member.life.joined(began_ms);
    Ok(())
}

/// Changes when the clock is moved, and with nothing else.
fn clock_less_boottime(shared: &Shared) -> u64 {
    shared.clock.now_ms().saturating_sub(clock::boottime_ms())
}

/// Shows what was applied, the anchor first.
fn renew(shared: &Shared, member: &mut Member) -> Result<(), Trouble> {
    let shown = anchored(shared);
    let began_ms = clock::boottime_ms();
    member.clock_shown_ms = clock_less_boottime(shared);
    match shared.store.renew(shown, shared.clock.now_ms()) {
        Ok(()) => member.life.renewed(shown, began_ms),
        Err(RenewError::Fenced | RenewError::NotJoined) => member.life.fenced(),
        Err(RenewError::Store(error)) => {
            member.life.renew_failed(began_ms);
            return Err(Trouble::Store(error));
        }
    }
    set_serving(shared, &member.life);
    // Whoever waits for this member alone waits no longer.
    shared.acknowledge();
    Ok(())
}

/// The newest revision that may be shown: the one applied, once the anchor holds all that was taken away up to there.
fn anchored(shared: &Shared) -> Revision {
    let (head, must_anchor) = shared.applied();
    let mut anchor = shared.anchor.lock().unwrap_or_else(PoisonError::into_inner);
    if anchor.revision >= must_anchor {
        return head.revision;
    }
    let was_failing = anchor.is_failing;
    match anchor.write(&shared.sealer, &anchor_of(&head)) {
        Ok(()) => {
            if was_failing {
                shared.notices.tell("what is taken away can be confirmed by this HSM again");
            }
            head.revision
        }
        Err(error) => {
            if !was_failing {
                shared.notices.say(&format!("what was taken away cannot be confirmed by this HSM: {error}"));
            }
            anchor.revision
        }
    }
}

/// Before this member goes, its anchor holds what only grants too.
fn anchor_all(shared: &Shared) {
    let (head, _) = shared.applied();
    let mut anchor = shared.anchor.lock().unwrap_or_else(PoisonError::into_inner);
    if anchor.revision < head.revision
        && let Err(error) = anchor.write(&shared.sealer, &anchor_of(&head))
    {
        shared.notices.say(&error.to_string());
    }
}

/// Waits for the store, and does what its change asks for.
fn rest(shared: &Shared, member: &mut Member, ms: u64) -> Result<(), Trouble> {
    let seen = match member.moment {
        Some(moment) => moment,
        None => shared.store.moment().map_err(Trouble::Store)?,
    };
    let waited = shared.store.wait(seen, Duration::from_millis(ms.min(REST_MS_MAX))).map_err(|error| match error {
        StoreError::Unavailable { .. } => Trouble::Store(error),
        StoreError::Damaged { .. } | StoreError::WentBack { .. } => Trouble::Follow(shared.failed(error)),
    });
    // The member table is another matter than the records: with these out of reach it still tells.
    let hindrance = match &waited {
        Err(Trouble::Store(error)) => Some(out_of_reach(error)),
        _ => None,
    };
    shared.hindrance.set(Asked::ToRead, hindrance);
    let moment = waited.inspect_err(|_| shared.acknowledge())?;
    member.moment = Some(moment);
    if member.trouble.take().is_some() {
        shared.notices.tell("the cluster's store can be used again");
    }
    // A store that was found damaged may be whole again without a new revision: a disk that failed to give a page back.
    let is_applied = moment.revision == shared.state.load().revision() && !shared.damaged.load(Ordering::Acquire);
    let followed = if is_applied { Ok(()) } else { shared.follow().map(drop).map_err(Trouble::Follow) };
    shared.acknowledge();
    followed
}
