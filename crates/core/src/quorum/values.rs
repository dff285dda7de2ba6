//! How many users must approve what, and for how long tokens are good.

use strongroom_types::limits::{QUORUM_TOKEN_SECONDS_MAX, QUORUM_TOKEN_SECONDS_MIN, QUORUM_VALUE_MAX};
use strongroom_types::{KeyQuorum, QuorumService, Refusal, Status};

use super::remaining::registered_admins;
use crate::command::TokenTime;
use crate::permissions::{Operation, permit};
use crate::plan::Asking;
use crate::{Actor, Effect, Plan, QuorumValues, Record, State};

/// The values. Needs no login.
pub fn quorum_values(state: &State, actor: &Actor, now_ms: u64) -> Result<QuorumValues, Refusal> {
    permit(state, actor, Operation::QuorumValues, now_ms)?;
    Ok(state.quorum_values())
}

/// Refuses a value that the admins who are registered could never reach: nobody could take it back.
pub(crate) fn check_set_value(asking: &Asking<'_>, service: QuorumService, value: u8) -> Result<(), Refusal> {
    let invalid = |about: String| Err(Refusal::new(Status::QuorumValueInvalid, about));
    if !QuorumService::OF_ADMINS.contains(&service) {
        return invalid(format!("the service {service} has none; a key's values are set when it is made"));
    }
    if !(1..=QUORUM_VALUE_MAX).contains(&value) {
        return invalid(format!("it is 1, which is off, to {QUORUM_VALUE_MAX}"));
    }
    let registered = registered_admins(asking.state);
    if value > 1 && usize::from(value) > registered {
        return invalid(format!(
            "{registered} admins have registered a key of their own and could approve, which is fewer than {value}"
        ));
    }
    Ok(())
}

pub(crate) fn set_value(asking: &Asking<'_>, service: QuorumService, value: u8) -> Plan {
    let mut values = asking.state.quorum_values();
    match service {
        QuorumService::User => values.user = value,
        QuorumService::Quorum => values.quorum = value,
        QuorumService::Cluster => values.cluster = value,
        QuorumService::Registration | QuorumService::KeyUsage | QuorumService::KeyManagement => {}
    }
    asking.done(vec![Record::QuorumValues(values)], Effect::Revoking)
}

pub(crate) fn check_set_seconds(seconds: u32) -> Result<(), Refusal> {
    if (QUORUM_TOKEN_SECONDS_MIN..=QUORUM_TOKEN_SECONDS_MAX).contains(&seconds) {
        return Ok(());
    }
    let about = format!("tokens are good for {QUORUM_TOKEN_SECONDS_MIN} to {QUORUM_TOKEN_SECONDS_MAX} seconds");
    Err(Refusal::new(Status::QuorumValueInvalid, about))
}

pub(crate) fn set_seconds(asking: &Asking<'_>, time: TokenTime, seconds: u32) -> Plan {
    let mut values = asking.state.quorum_values();
    match time {
        TokenTime::Generated => values.generated_seconds = seconds,
        TokenTime::Approved => values.approved_seconds = seconds,
    }
    asking.done(vec![Record::QuorumValues(values)], Effect::Revoking)
}

/// The values of a new key that has so many users, the owner among them.
pub(crate) fn check_key_values(quorum: KeyQuorum, users: usize) -> Result<(), Refusal> {
    if usize::from(quorum.highest()) <= users {
        return Ok(());
    }
    Err(Status::QuorumValueInvalid.into())
}
