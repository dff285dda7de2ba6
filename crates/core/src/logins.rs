//! Logging in and out. The HSM verifies the password; here stands who may try, what a wrong try costs, and when a
//! login ends.
//!
//! An unknown name and a wrong role are refused unhashed, so that guesses cost the HSM nothing; an observer with a clock
//! can tell them from a wrong password. The user list, which as in the original needs no login, tells it anyway.

use std::sync::Arc;

use strongroom_types::limits::{ENDED_LOGINS_EACH_MAX, LAST_ADMIN_LOCK_SECONDS, LOGIN_FAILURES_MAX, TICKET_SECONDS};
use strongroom_types::{CredentialId, LoginId, Refusal, Role, Status, TokenKey, UserId, UserName};

use crate::permissions::{Operation, permit};
use crate::plan::{Asking, internal};
use crate::records::{EndedLogin, Lock};
use crate::{
    Actor, Credential, Effect, LoginActor, Plan, PlanError, Record, SpentChallenge, State, Ticket, User, challenge,
};

/// Life of a ticket, in milliseconds.
const TICKET_MS: u64 = TICKET_SECONDS * 1_000;
/// What a member's clock may be ahead of the others' and a change may take to reach it, many times over.
const RENEWAL_SLACK_MS: u64 = 60 * 60 * 1_000;

/// What the HSM verifies a password against, and what its ticket then rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordCheck {
    /// The user.
    pub user: UserId,
    /// Name.
    pub name: UserName,
    /// Role.
    pub role: Role,
    /// Salt, iterations and hash.
    pub credential: Credential,
    /// What a challenge must be signed with beside the password; none without MFA.
    pub mfa_key: Option<TokenKey>,
}

/// Whether a password may be tried now. Refuses an unknown name and a wrong role as a wrong password
/// ([`Status::LoginFailed`]), a locked user as [`Status::UserLocked`], both to be answered without hashing.
///
/// After the try, plan [`Command::LoginFailed`](crate::Command) or [`Command::LoginSucceeded`](crate::Command) as
/// [`Actor::Hsm`]; a failed one is committed before it is answered.
pub fn login_check(state: &State, name: &UserName, role: Role, now_ms: u64) -> Result<PasswordCheck, Refusal> {
    permit(state, &Actor::Anonymous, Operation::Login, now_ms)?;
    let user = state.user_named(name).filter(|user| user.role == role).ok_or(Status::LoginFailed)?;
    let credential = user.credential.clone().ok_or(Status::LoginFailed)?;
    if user.is_locked(state.cluster_time(now_ms)) {
        return Err(Status::UserLocked.into());
    }
    let mfa_key = user.mfa_key.clone();
    Ok(PasswordCheck { user: user.id, name: user.name.clone(), role, credential, mfa_key })
}

/// The actor of a ticket that an HSM of this cluster sealed. Refuses a ticket of another cluster or epoch, and a
/// login that does not stand, as [`Status::LoginEnded`].
///
/// A repeat of the change that ended a login (logging out, a new password of one's own) comes with an ended login:
/// to let it find its receipt, take [`Ticket::actor`] and plan it again.
pub fn actor_of_ticket(state: &State, ticket: &Ticket, now_ms: u64) -> Result<LoginActor, Refusal> {
    let cluster = state.cluster().ok_or(Status::WrongClusterState)?;
    if (&ticket.cluster, ticket.epoch) != (&cluster.id, cluster.epoch) {
        return Err(Status::LoginEnded.into());
    }
    let actor = ticket.actor();
    login_stands(state, &actor, now_ms)?;
    Ok(actor)
}

/// The user of a login that stands: not ended, not over, the user there, the password the same.
pub fn login_stands<'s>(state: &'s State, login: &LoginActor, now_ms: u64) -> Result<&'s Arc<User>, Refusal> {
    let user = state.user(login.user).ok_or(Status::LoginEnded)?;
    let same_password = user.credential.as_ref().is_some_and(|credential| credential.id == login.credential);
    let over = login.expires_ms <= state.cluster_time(now_ms) || state.is_login_ended(login.login);
    if same_password && user.role == login.role && !over { Ok(user) } else { Err(Status::LoginEnded.into()) }
}

/// The user after one more wrong password; none when that password is no longer the user's, or the user is locked.
pub(crate) fn failed(state: &State, user: UserId, credential: CredentialId, now_ms: u64) -> Option<User> {
    let user = state.user(user).filter(|user| rests_on(user, credential) && !user.is_locked(now_ms))?;
    let failures = user.failures.saturating_add(1);
    // After a lock that ran out, the count stands where it was: each further wrong password locks again.
    let lock = if failures >= LOGIN_FAILURES_MAX { lock_of(state, user, now_ms) } else { Lock::Open };
    Some(User { failures, lock, ..User::clone(user) })
}

/// The user after the right password; none when there is nothing to forget.
pub(crate) fn succeeded(state: &State, user: UserId, credential: CredentialId, now_ms: u64) -> Option<User> {
    let user = state.user(user).filter(|user| rests_on(user, credential) && !user.is_locked(now_ms))?;
    let clean = user.failures == 0 && user.lock == Lock::Open;
    (!clean).then(|| User { failures: 0, lock: Lock::Open, ..User::clone(user) })
}

/// Whether the password that was just found right may log in: it may have been changed, or the user locked by another
/// HSM, since [`login_check`].
pub(crate) fn still_right(state: &State, user: UserId, credential: CredentialId, now_ms: u64) -> Result<(), Refusal> {
    let user = state.user(user).filter(|user| rests_on(user, credential)).ok_or(Status::LoginFailed)?;
    if user.is_locked(now_ms) { Err(Status::UserLocked.into()) } else { Ok(()) }
}

/// Whether a login with a signed challenge may stand: the password is still right, and the challenge was not used.
pub(crate) fn check_signed(
    asking: &Asking<'_>,
    user: UserId,
    credential: CredentialId,
    challenge: SpentChallenge,
) -> Result<(), Refusal> {
    still_right(asking.state, user, credential, asking.now_ms)?;
    challenge::check_unused(asking.state, challenge, asking.now_ms)
}

/// Uses the challenge up, and forgets wrong passwords.
pub(crate) fn signed(asking: &Asking<'_>, user: UserId, credential: CredentialId, challenge: SpentChallenge) -> Plan {
    let user = succeeded(asking.state, user, credential, asking.now_ms).map(Record::User);
    let puts = user.into_iter().chain([Record::SpentChallenge(challenge)]).collect();
    asking.done(puts, Effect::Revoking)
}

fn rests_on(user: &User, credential: CredentialId) -> bool {
    user.credential.as_ref().is_some_and(|own| own.id == credential)
}

/// The last admin who can log in is locked for a while only: nobody would be left to unlock anyone.
fn lock_of(state: &State, user: &User, now_ms: u64) -> Lock {
    let mut others = state.users().filter(|other| other.id != user.id && other.role == Role::Admin);
    if user.role == Role::Admin && !others.any(|other| !other.is_locked(now_ms)) {
        Lock::Until(now_ms.saturating_add(LAST_ADMIN_LOCK_SECONDS * 1_000))
    } else {
        Lock::Locked
    }
}

/// Ends the actor's login. The record stays until no ticket of the login can be good any more: one that another member
/// renewed at this moment lasts longer than the one in hand.
///
/// Of a user with too many such records every login ends, as with a new password, and then none of the records is needed:
/// however often somebody logs in and out, the store does not fill, and no logout is refused. The id that logins rest on
/// from then on is that of the login which ends, as random as any.
pub(crate) fn logout(asking: &Asking<'_>) -> Result<Plan, PlanError> {
    let Actor::Login(login) = asking.actor else {
        return Err(internal("login").into());
    };
    let user = asking.user()?;
    let LoginActor { login, credential, expires_ms, .. } = *login;
    let record = if asking.state.ended_login_ages.len_of(&(user.id, credential)) < ENDED_LOGINS_EACH_MAX {
        let until_ms = asking.now_ms.saturating_add(TICKET_MS).saturating_add(RENEWAL_SLACK_MS).max(expires_ms);
        Record::EndedLogin(EndedLogin { login, user: user.id, credential, until_ms })
    } else {
        let id = CredentialId::from_bytes(*login.as_bytes());
        let credential = user.credential.as_ref().map(|credential| Credential { id, ..credential.clone() });
        Record::User(User { credential, ..user.clone() })
    };
    Ok(asking.done(vec![record], Effect::Revoking))
}

impl PasswordCheck {
    /// The login that the right password opens, for as long as a ticket lasts. `login` is random.
    pub fn login(&self, login: LoginId, now_ms: u64) -> LoginActor {
        let expires_ms = now_ms.saturating_add(TICKET_MS);
        LoginActor { login, user: self.user, credential: self.credential.id, role: self.role, expires_ms }
    }
}

impl LoginActor {
    /// The same login for another ticket's life, when the one in use has passed half of its own.
    pub fn renewal(&self, now_ms: u64) -> Option<LoginActor> {
        let due = self.expires_ms.saturating_sub(now_ms) < TICKET_MS / 2;
        due.then(|| LoginActor { expires_ms: now_ms.saturating_add(TICKET_MS), ..*self })
    }

    /// The same login after its user set a new password in it; see [`Reply::User`](crate::Reply).
    #[must_use]
    pub fn with_credential(&self, credential: CredentialId) -> LoginActor {
        LoginActor { credential, ..*self }
    }
}
