//! A change acts once: its receipt answers a repeat.
//!
//! The receipt of a creation lives in what was created, that of another change in a record of its own, for an hour.
//! When something is deleted within an hour of its creation, a record takes its receipt over: a repeat that comes
//! late must not make it again.

use std::sync::Arc;

use strongroom_types::limits::RECEIPT_SECONDS;
use strongroom_types::{KeyClass, Refusal, Status};

use crate::records::{Asker, Creation, Outcome, Receipt};
use crate::state::Created;
use crate::{
    Actor, CertificateView, CommandDigest, Effect, Key, KeyView, QuorumToken, Record, Replayed, Reply, Request, State,
    TokenView, UserView,
};

/// How long a receipt is kept, in milliseconds.
pub(crate) const RECEIPT_MS: u64 = RECEIPT_SECONDS * 1_000;

/// The answer of a change that was made before under this request id; none when it is new. Refuses another command,
/// or another user's, under the same id, and answers for what was made and deleted since that it is gone.
///
/// [`check`](crate::check()) and [`plan`](crate::plan()) ask this, and whether the login stands that asks.
pub fn replay(state: &State, actor: &Actor, request: &Request, now_ms: u64) -> Result<Option<Replayed>, Refusal> {
    let same = |asker: Asker, digest: &CommandDigest| {
        let same = asker == actor.asker() && *digest == request.digest;
        if same { Ok(()) } else { Err(Refusal::from(Status::RequestIdReused)) }
    };
    if let Some(receipt) = state.receipt(request.id) {
        same(receipt.asker, &receipt.digest)?;
        let reply = reply_of(state, receipt, state.cluster_time(now_ms))?;
        return Ok(Some(Replayed { reply, effect: receipt.effect }));
    }
    let mut keys: Vec<&Key> = Vec::new();
    for created in state.created_by(request.id) {
        match created {
            Created::User(id) => {
                let user = state.user(id).ok_or(Status::Internal)?;
                let creation = user.creation.ok_or(Status::Internal)?;
                same(creation.asker, &creation.digest)?;
                let user = UserView::of(user, state.cluster_time(now_ms));
                return Ok(Some(Replayed { reply: Reply::User { user, renewed: None }, effect: Effect::Granting }));
            }
            Created::TrustAnchor(reference) => {
                let anchor = state.trust_anchor(reference).ok_or(Status::Internal)?;
                same(anchor.creation.asker, &anchor.creation.digest)?;
                let reply = Reply::TrustAnchor(Arc::clone(anchor));
                return Ok(Some(Replayed { reply, effect: Effect::Revoking }));
            }
            Created::Certificate(reference) => {
                let certificate = state.certificate(reference).ok_or(Status::Internal)?;
                same(certificate.creation.asker, &certificate.creation.digest)?;
                let reply = Reply::Certificate(CertificateView::of(state, certificate)?);
                return Ok(Some(Replayed { reply, effect: Effect::Granting }));
            }
            Created::Key(reference) => {
                let key = state.key(reference).ok_or(Status::Internal)?;
                same(key.creation.asker, &key.creation.digest)?;
                keys.push(key);
            }
        }
    }
    let reply = match keys.as_slice() {
        [] => return Ok(None),
        // Of a pair, what is left of it: whoever knows the command knows that.
        [key] => Reply::Key(KeyView::of(state, key)?),
        [one, other] => {
            let one_is_public = one.attributes.class == KeyClass::PublicKey;
            let (public, private) = if one_is_public { (one, other) } else { (other, one) };
            Reply::Pair { public: KeyView::of(state, public)?, private: KeyView::of(state, private)? }
        }
        _ => return Err(Status::Internal.into()),
    };
    Ok(Some(Replayed { reply, effect: Effect::Granting }))
}

fn reply_of(state: &State, receipt: &Receipt, now_ms: u64) -> Result<Reply, Refusal> {
    match &receipt.outcome {
        Outcome::Done => Ok(Reply::Done),
        Outcome::KeyGone => Err(Status::KeyUnknown.into()),
        Outcome::UserGone => Err(Status::UserUnknown.into()),
        Outcome::TrustAnchorGone => Err(Status::TrustAnchorUnknown.into()),
        Outcome::CertificateGone => Err(Status::CertificateUnknown.into()),
        Outcome::Token(id) => {
            let token = state.quorum_token(*id).ok_or(Status::QuorumRequired)?;
            let user = state.user(token.user).ok_or(Status::LoginEnded)?;
            Ok(Reply::Token(TokenView { token: QuorumToken::clone(token), user: user.name.clone() }))
        }
        Outcome::User { name, role, renewed } => {
            let user = state.user_named(name).filter(|user| user.role == *role);
            let current = user.and_then(|user| user.credential.as_ref()).map(|credential| credential.id);
            let view = match user {
                Some(user) => UserView::of(user, now_ms),
                None => UserView { name: name.clone(), role: *role, locked: false, mfa: false, quorum: false },
            };
            // A password that was changed again since renews nothing.
            Ok(Reply::User { user: view, renewed: renewed.filter(|renewed| current == Some(*renewed)) })
        }
    }
}

/// The receipt that outlives what was created and is being deleted; none when it is over an hour old.
pub(crate) fn outlive(creation: &Creation, created_ms: u64, outcome: Outcome, now_ms: u64) -> Option<Record> {
    let recent = now_ms.saturating_sub(created_ms) < RECEIPT_MS;
    recent.then(|| {
        Record::Receipt(Receipt {
            asker: creation.asker,
            request: creation.request,
            digest: creation.digest,
            outcome,
            effect: Effect::Revoking,
            time_ms: now_ms,
        })
    })
}
