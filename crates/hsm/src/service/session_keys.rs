//! Session keys: made for a login, given out sealed, held while there is room, taken back from their client.

use std::sync::Arc;

use strongroom_core::permissions::{Operation, permit};
use strongroom_core::{
    Actor, Command, Key, KeyView, LoginActor, Made, PlanError, SessionKey, check_delete_session_key,
    check_session_keys, login_stands, session_keys,
};
use strongroom_types::{Attributes, KeyReference, Refusal, Status};
use strongroom_wire::{NamedSessionKey, v1};

use super::changes::{DRAWS_MAX, internal};
use super::keys::key_message;
use super::{Asked, Service, Session};
use crate::log::Level;
use crate::session_keys::HeldSessionKey;

/// A key that the rules let be used.
pub(super) enum UsableKey {
    /// One of the store.
    Stored(Arc<Key>),
    /// One of the connection's login.
    OfSession(Arc<HeldSessionKey>),
}

impl UsableKey {
    pub(super) fn reference(&self) -> KeyReference {
        match self {
            UsableKey::Stored(key) => key.reference,
            UsableKey::OfSession(held) => held.key().reference,
        }
    }

    pub(super) fn attributes(&self) -> &Attributes {
        match self {
            UsableKey::Stored(key) => &key.attributes,
            UsableKey::OfSession(held) => &held.key().attributes,
        }
    }

    pub(super) fn sealed(&self) -> Option<&Arc<[u8]>> {
        match self {
            UsableKey::Stored(key) => key.sealed.as_ref(),
            UsableKey::OfSession(held) => held.key().sealed.as_ref(),
        }
    }
}

impl Asked<'_, '_> {
    /// What the request says of this session key; none of a key that is one of the store.
    pub(super) fn session_key(&self, reference: KeyReference) -> Option<&NamedSessionKey> {
        self.session_keys.iter().find(|named| named.reference == reference)
    }
}

impl Service {
    /// Makes session keys. No change of the cluster: nothing is committed, and who asks twice has twice as many.
    pub(super) fn make_session_keys(
        &self,
        session: &Session,
        asked: &Asked,
        command: &Command,
        mut make: impl FnMut() -> Result<Made, Refusal>,
    ) -> Result<Vec<v1::Key>, Refusal> {
        let actor = session.actor();
        self.fresh(asked, |state| check_session_keys(state, &actor, command, asked.now_ms))?;
        for _ in 0..DRAWS_MAX {
            let made = make()?;
            match session_keys(&self.cluster.state(), &actor, command, &made, asked.now_ms) {
                Ok(keys) => return keys.into_iter().map(|key| self.given_out(&actor, key)).collect(),
                Err(PlanError::Refused(refusal)) => return Err(refusal),
                Err(PlanError::DrawAgain) => {}
                Err(PlanError::BatchFull) => return Err(internal("batch")),
            }
        }
        self.log.error(format_args!("random references were taken {DRAWS_MAX} times in a row"));
        Err(Status::Internal.into())
    }

    /// A new key as its client gets it, in its sealed form too.
    fn given_out(&self, actor: &Actor, key: SessionKey) -> Result<v1::Key, Refusal> {
        let Actor::Login(login) = actor else { return Err(internal("login")) };
        let view = KeyView::of_session_key(&self.cluster.state(), &key)?;
        let sealed_session_key = self.cluster.sealer().seal_session_key(key.login, key.reference, &key.encode());
        self.hold(login, key, sealed_session_key.len());
        Ok(v1::Key { sealed_session_key, ..key_message(view) })
    }

    /// The session key that a request names, for whoever may do `operation` with keys at all. Whether this one may be
    /// used so is asked next.
    pub(super) fn named_session_key(
        &self,
        session: &Session,
        operation: Operation,
        named: &NamedSessionKey,
        asked: &Asked,
    ) -> Result<Arc<HeldSessionKey>, Refusal> {
        let actor = session.actor();
        self.fresh(asked, |state| permit(state, &actor, operation, asked.now_ms).map(drop))?;
        let Actor::Login(login) = actor else { return Err(Status::NotLoggedIn.into()) };
        if let Some(held) = self.keys.session_keys().find(&login, named.reference) {
            return Ok(held);
        }
        if named.sealed.is_empty() {
            return Err(Status::SessionKeyMissing.into());
        }
        let opened = self.cluster.sealer().open_session_key(login.login, named.reference, &named.sealed);
        let opened = opened.map_err(|_| Status::KeyUnknown)?;
        let key = SessionKey::decode(opened.expose()).map_err(|error| {
            self.log.client(Level::Warn, format_args!("session key {} of {session}: {error}", named.reference));
            Status::KeyUnknown
        })?;
        // A key of the login's earlier password is none any more.
        if key.reference != named.reference || !key.is_of(&actor) {
            return Err(Status::KeyUnknown.into());
        }
        Ok(self.hold(&login, key, named.sealed.len()))
    }

    fn hold(&self, login: &LoginActor, key: SessionKey, len: usize) -> Arc<HeldSessionKey> {
        let reference = key.reference;
        let held = self.keys.session_keys().insert(login, key, len);
        // A login that ended meanwhile takes its key along.
        if login_stands(&self.cluster.state(), login, self.cluster.now_ms()).is_err() {
            self.keys.session_keys().remove(login.login, reference);
        }
        held
    }

    /// Deletes a session key, here: its client forgets it and names it no more, and nobody else can.
    pub(super) fn delete_session_key(
        &self,
        session: &Session,
        named: &NamedSessionKey,
        asked: &Asked,
    ) -> Result<(), Refusal> {
        let held = self.named_session_key(session, Operation::KeyDelete, named, asked)?;
        check_delete_session_key(&self.cluster.state(), &session.actor(), held.key(), asked.now_ms)?;
        self.keys.session_keys().remove(held.key().login, named.reference);
        Ok(())
    }
}
