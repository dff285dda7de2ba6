//! Which member a call goes to, whether it is repeated, when it gives up. Pure: no socket, no clock; the time is an
//! argument, and what happened comes in as an event.
//!
//! * [`Members`] is what all calls of a process know of the cluster; [`Call`] is one call's way through it.
//! * A call goes to the member with the least in flight; among equals they take turns.
//! * A member that failed is left alone for a pause that grows with every further failure. When the pause is over, one call
//!   tries it. A failure of a try that began before the last known failure says nothing new.
//! * A call tries each member at least once before it gives up, those in a pause too; then again in rounds with pauses of
//!   its own, until its deadline. It gives up early only when every member failed in a way that lasts, or has said for some
//!   seconds that the store is out of reach: a full disk is a person's to mend, who had better hear of it.

mod call;
mod members;
#[cfg(test)]
mod tests;

use std::time::Duration;

use strongroom_types::Status;

pub use call::{Call, Decision};
pub use members::{Address, MemberNumber, Members, Outcome, Turn};

/// The first pause after a failure, and of a call between two rounds.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause of a member that keeps failing.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The shortest pause of a member that did not answer in time: trying it costs a call a whole try.
const PAUSE_MIN_SILENT: Duration = Duration::from_secs(1);
/// The longest pause of a call between two rounds: so soon a cluster that comes back is noticed.
const ROUND_PAUSE_MAX: Duration = Duration::from_millis(500);
/// How long every member may say that the store is out of reach before a call says so.
const STORE_PATIENCE: Duration = Duration::from_secs(5);
/// The shortest and the longest time that a busy member is spared; it says what it wants between them.
const BUSY_MIN: Duration = Duration::from_millis(10);
const BUSY_MAX: Duration = Duration::from_secs(1);

/// What a refusal that came in `status` says of the member, if another one may do better; none when every member would
/// refuse alike. `asked` is the pause that the member wants.
pub fn outcome_of(status: Status, asked: Duration) -> Option<Outcome> {
    match status {
        Status::Busy => Some(Outcome::Busy(asked)),
        Status::NotServing => Some(Outcome::Failed(asked)),
        Status::DeadlineExceeded | Status::StoreUnavailable | Status::ClockOff | Status::Internal => {
            Some(Outcome::Answered)
        }
        _ => None,
    }
}

/// `first`, doubled `times` times, at most `max`.
fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(max)
}
