//! Tokens: made, listed, found again in what was signed, deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_types::limits::{QUORUM_TOKENS_EACH_MAX, QUORUM_TOKENS_MAX, QUORUM_TOKENS_OF_CRYPTO_USERS_MAX};
use strongroom_types::{QuorumService, QuorumSubject, RecordPath, Refusal, Role, Status, TokenId, TokenKey, UserName};

use super::{check_admins_remain, usable};
use crate::permissions::{Operation, permit};
use crate::plan::{Asking, internal};
use crate::records::Outcome;
use crate::{
    Actor, Effect, LoginActor, Plan, PlanError, Planned, QuorumToken, QuorumValues, Record, Reply, State, User,
};

/// Bytes of what approvers sign the digest of.
pub const APPROVAL_DATA_LEN: usize = 80;
/// Version of its layout.
const VERSION: u16 = 2;
/// Bytes of the user's name in it, padded with zeros.
const NAME_LEN: usize = 36;
/// Where the token's id stands in it.
const ID_AT: usize = 16;

/// A new token, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    /// The token.
    pub token: QuorumToken,
    /// Its user's name.
    pub user: UserName,
}

/// Tokens as everybody may see them: each of an admin's service alone, those of one user for one service of one key together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedToken {
    /// Whose.
    pub user: UserName,
    /// For what.
    pub subject: QuorumSubject,
    /// How many approvals it needs.
    pub approvals_required: u8,
    /// Milliseconds until it ends; of several tokens, the last one.
    pub left_ms: u64,
    /// How many tokens there are.
    pub count: u32,
}

/// The bytes whose SHA-256 is signed, for a token and its user's name. Numbers are big-endian (`docs/spec/quorum.md`).
pub fn approval_data(token: &QuorumToken, user: &UserName) -> [u8; APPROVAL_DATA_LEN] {
    let mut name = [0; NAME_LEN];
    name.iter_mut().zip(user.as_str().bytes()).for_each(|(to, from)| *to = from);
    // Told apart by its id; the number is for people who compare files.
    let number = (token.revision.0 & u64::from(u32::MAX)).to_be_bytes();
    let seconds = (token.created_ms / 1_000).to_be_bytes();
    let key = token.subject.key.map_or(0, strongroom_types::KeyReference::as_u64);
    let parts: [&[u8]; 8] = [
        &VERSION.to_be_bytes(),
        &u16::from(token.subject.service.number()).to_be_bytes(),
        number.last_chunk::<4>().map_or(&[], |chunk| chunk),
        &key.to_be_bytes(),
        token.id.as_bytes(),
        &name,
        seconds.last_chunk::<4>().map_or(&[], |chunk| chunk),
        &[0; 8],
    ];
    let mut data = [0; APPROVAL_DATA_LEN];
    data.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    data
}

/// The id of the token that approval data names; none when it has another length.
pub fn token_in(data: &[u8]) -> Option<TokenId> {
    let data: &[u8; APPROVAL_DATA_LEN] = data.try_into().ok()?;
    TokenId::try_from(data.get(ID_AT..ID_AT + TokenId::LEN)?).ok()
}

/// Whether the token can still be used: it has not run out, was not deleted, and its login stands.
pub(crate) fn is_live(state: &State, token: &QuorumToken, now_ms: u64) -> bool {
    let user = state.user(token.user);
    let same_password = user.and_then(|user| user.credential.as_ref()).is_some_and(|own| own.id == token.credential);
    let has_key = token.subject.key.is_none_or(|key| state.key(key).is_some());
    token.expires_ms > now_ms
        && token.revision > state.quorum_values().void_revision
        && same_password
        && has_key
        && !state.is_login_ended(token.login)
}

/// Refuses who has no use for a token of this service.
pub(crate) fn check_generate(asking: &Asking<'_>, subject: QuorumSubject) -> Result<(), Refusal> {
    let user = asking.user()?;
    if subject.key.is_some() != subject.service.is_of_key() {
        return Err(Refusal::new(Status::MalformedRequest, "key"));
    }
    let fits = match subject.service {
        QuorumService::User | QuorumService::Quorum | QuorumService::Cluster => user.role == Role::Admin,
        QuorumService::KeyUsage | QuorumService::KeyManagement => user.role == Role::CryptoUser,
        QuorumService::Registration => true,
    };
    if !fits {
        let about = format!(
            "admins make tokens of user, quorum and cluster, crypto users those of keys, not {} ones",
            user.role
        );
        return Err(Refusal::new(Status::RoleNotPermitted, about));
    }
    if let Some(reference) = subject.key {
        let key = asking.state.key(reference).filter(|key| key.is_visible_to(user.id)).ok_or(Status::KeyUnknown)?;
        if key.quorum.of(subject.service) <= 1 {
            let about = format!("key {reference} needs no approvals for {}", subject.service);
            return Err(Refusal::new(Status::QuorumValueInvalid, about));
        }
    }
    room(asking, user, subject).map(drop)
}

/// The records that go for one more token of this user: the one that it replaces, the user's oldest when there are too many,
/// one that is dead when the store is full of them.
fn room(asking: &Asking<'_>, user: &User, subject: QuorumSubject) -> Result<Vec<RecordPath>, Refusal> {
    let state = asking.state;
    let replaced = |token: &&Arc<QuorumToken>| token.user == user.id && token.subject == subject;
    let replaced = if subject.service.is_of_key() { None } else { state.tokens.values().find(replaced) };
    let full = Refusal::from(Status::QuorumTokensFull);
    if let Some(token) = replaced {
        return Ok(vec![QuorumToken::path_of(token.id)]);
    }
    if state.token_ages.len_of(&user.id) >= QUORUM_TOKENS_EACH_MAX {
        return Ok(state.token_ages.oldest_of(&user.id).map(|(_, id)| QuorumToken::path_of(id)).take(1).collect());
    }
    let is_live = |token: &&Arc<QuorumToken>| is_live(state, token, asking.now_ms);
    if user.role == Role::CryptoUser {
        let of_crypto_users = |token: &&Arc<QuorumToken>| {
            state.user(token.user).is_some_and(|user| user.role == Role::CryptoUser) && is_live(token)
        };
        if state.tokens.values().filter(of_crypto_users).count() >= QUORUM_TOKENS_OF_CRYPTO_USERS_MAX {
            return Err(full);
        }
    }
    if state.tokens.len() < QUORUM_TOKENS_MAX {
        return Ok(Vec::new());
    }
    let dead = state.tokens.values().find(|token| !is_live(token)).ok_or(full)?;
    Ok(vec![QuorumToken::path_of(dead.id)])
}

pub(crate) fn generate(asking: &Asking<'_>, subject: QuorumSubject, id: TokenId) -> Result<Plan, PlanError> {
    if asking.state.quorum_token(id).is_some() {
        return Err(PlanError::DrawAgain);
    }
    let Actor::Login(LoginActor { login, credential, .. }) = *asking.actor else {
        return Err(internal("login").into());
    };
    let user = asking.user()?;
    let token = QuorumToken {
        id,
        user: user.id,
        login,
        credential,
        subject,
        revision: asking.next_revision(),
        created_ms: asking.now_ms,
        expires_ms: asking.now_ms.saturating_add(asking.state.quorum_values().token_ms()),
    };
    let effect = Effect::Revoking;
    let reply = Reply::Token(TokenView { token: token.clone(), user: user.name.clone() });
    let puts = vec![Record::QuorumToken(token), asking.receipt(Outcome::Token(id), effect)];
    Ok(Plan::Change(Planned { puts, deletes: room(asking, user, subject)?, reply, effect }))
}

/// Deletes the tokens of the actor, or makes those of everybody void.
pub(crate) fn delete_all(asking: &Asking<'_>, of_everybody: bool) -> Result<Plan, PlanError> {
    let user = asking.user()?;
    if of_everybody {
        let values = QuorumValues { void_revision: asking.next_revision(), ..asking.state.quorum_values() };
        return Ok(asking.done(vec![Record::QuorumValues(values)], Effect::Revoking));
    }
    let own = asking.state.token_ages.oldest_of(&user.id).map(|(_, id)| QuorumToken::path_of(id)).collect();
    Ok(match asking.done(Vec::new(), Effect::Revoking) {
        Plan::Change(planned) => Plan::Change(Planned { deletes: own, ..planned }),
        other => other,
    })
}

/// Registers the key with which the actor's user approves from now on. The HSM has verified the signature of the token by it.
pub(crate) fn register(asking: &Asking<'_>, key: &TokenKey, token: TokenId) -> Result<Plan, PlanError> {
    let user = asking.user()?;
    let found = asking.state.quorum_token(token).ok_or(Refusal::from(Status::QuorumRequired))?;
    usable(asking, found)?;
    if found.subject.service != QuorumService::Registration {
        let about = format!("it is one for {}, not for registration", found.subject.service);
        return Err(Refusal::new(Status::QuorumTokenInvalid, about).into());
    }
    check_admins_remain(asking, user, Some(key))?;
    let user = User { quorum_key: Some(key.clone()), ..user.clone() };
    let mut plan = asking.user_answer(&user, None, vec![Record::User(user.clone())]);
    if let Plan::Change(planned) = &mut plan {
        planned.deletes.push(QuorumToken::path_of(token));
    }
    Ok(plan)
}

/// Every token that can still be used, by user, service and key. Needs no login.
pub fn list_tokens(state: &State, actor: &Actor, now_ms: u64) -> Result<Vec<ListedToken>, Refusal> {
    permit(state, actor, Operation::QuorumTokenList, now_ms)?;
    let now_ms = state.cluster_time(now_ms);
    let mut listed: BTreeMap<(UserName, QuorumSubject), ListedToken> = BTreeMap::new();
    for token in state.tokens.values().filter(|token| is_live(state, token, now_ms)) {
        let Some(user) = state.user(token.user) else { continue };
        let subject = token.subject;
        let of_key = subject.key.and_then(|key| state.key(key)).map(|key| key.quorum.of(subject.service));
        let approvals_required = of_key.unwrap_or_else(|| state.quorum_values().of(subject.service));
        let left_ms = token.expires_ms.saturating_sub(now_ms);
        let entry = listed.entry((user.name.clone(), subject)).or_insert_with(|| ListedToken {
            user: user.name.clone(),
            subject,
            approvals_required,
            left_ms: 0,
            count: 0,
        });
        entry.left_ms = entry.left_ms.max(left_ms);
        entry.count = entry.count.saturating_add(1);
    }
    Ok(listed.into_values().collect())
}
