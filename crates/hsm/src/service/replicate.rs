//! Keys and users that go to a clone of this cluster, or come from one.

use std::sync::Arc;

use strongroom_core::permissions::{Operation, permit};
use strongroom_core::{Command, KeyView, Made, Record, Replica, User, export_key, export_user, key_view};
use strongroom_crypto::random;
use strongroom_crypto_keys::seal::HistoryKey;
use strongroom_types::limits::REPLICA_LEN_MAX;
use strongroom_types::{ClusterId, CredentialId, Refusal, Revision, Status};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{convert, v1};

use super::changes::{internal, user_name};
use super::keys::{key_message, key_reference};
use super::users::user_of;
use super::{Asked, Service, Session};
use crate::log::Level;

impl Service {
    pub(super) fn key_export(
        &self,
        session: &Session,
        message: &v1::KeyExport,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let reference = key_reference(message.reference)?;
        let destination = cluster_id(&message.destination_cluster_id)?;
        if let Some(named) = asked.session_key(reference) {
            self.named_session_key(session, Operation::KeyExport, named, asked)?;
            return Err(Status::SessionKeyFixed.into());
        }
        let actor = session.actor();
        let (replica, mut key) =
            self.fresh(asked, |state| export_key(state, &actor, reference, &destination, asked.now_ms))?;
        let header = replica.encode();
        let history = self.history_key()?;
        if let Some(sealed) = &mut key.sealed {
            let material = self.cluster.sealer().open_material(reference, sealed);
            let material =
                material.map_err(|error| self.damaged(&format!("the material of key {reference}"), error))?;
            *sealed = Arc::from(history.seal_replica_material(&header, &material));
        }
        self.log.client(Level::Info, format_args!("key {reference} was sealed for {destination} by {session}"));
        let sealed = history.seal_replica(&header, Record::Key(key).encode().expose());
        Ok(Answer::KeyExport(v1::Replica { header, sealed }))
    }

    pub(super) fn user_export(
        &self,
        session: &Session,
        message: &v1::UserExport,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let (name, role) = (user_name(&message.user_name)?, convert::role(message.role)?);
        let destination = cluster_id(&message.destination_cluster_id)?;
        let actor = session.actor();
        let (replica, user) =
            self.fresh(asked, |state| export_user(state, &actor, (&name, role), &destination, asked.now_ms))?;
        let header = replica.encode();
        let sealed = self.history_key()?.seal_replica(&header, Record::User(user).encode().expose());
        self.log.client(Level::Info, format_args!("user {name} was sealed for {destination} by {session}"));
        Ok(Answer::UserExport(v1::Replica { header, sealed }))
    }

    pub(super) fn key_replicate(
        &self,
        session: &Session,
        message: &v1::KeyReplicate,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let Opened { replica, header, history, record } =
            self.opened_replica(session, Operation::KeyReplicate, message.replica.as_ref(), asked)?;
        let Record::Key(mut key) = record else {
            return Err(Refusal::new(Status::MalformedRequest, "replica: it holds no key"));
        };
        if let Some(sealed) = &mut key.sealed {
            let material = history.open_replica_material(&header, sealed).map_err(|_| Status::NotClones)?;
            *sealed = Arc::from(self.cluster.sealer().seal_material(key.reference, &material));
        }
        let (reference, source) = (key.reference, replica.source.clone());
        let command = Command::ReplicateKey { replica, key: Box::new(key) };
        self.change_only(session, asked, &command)?;
        self.log.client(Level::Info, format_args!("key {reference} of {source} was taken in by {session}"));
        // A repeat may find that the key was deleted since.
        let actor = session.actor();
        let view: KeyView = self.fresh(asked, |state| key_view(state, &actor, reference, asked.now_ms))?;
        Ok(Answer::KeyReplicate(key_message(view)))
    }

    pub(super) fn user_replicate(
        &self,
        session: &Session,
        message: &v1::UserReplicate,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let Opened { replica, record, .. } =
            self.opened_replica(session, Operation::UserReplicate, message.replica.as_ref(), asked)?;
        let Record::User(user) = record else {
            return Err(Refusal::new(Status::MalformedRequest, "replica: it holds no user"));
        };
        let source = replica.source.clone();
        let made = || {
            // Once it is known that the user may come.
            self.forget_shares(&user, asked)?;
            let credential = user.credential.clone().ok_or_else(|| internal("credential"))?;
            let id = CredentialId::from_bytes(random::bytes());
            Ok(Made::User { id: user.id, credential: strongroom_core::Credential { id, ..credential } })
        };
        let command = Command::ReplicateUser { replica, user: Box::new(user.clone()) };
        let (taken, _) = user_of(self.change(session, asked, &command, made)?)?;
        self.log.client(Level::Info, format_args!("user {} of {source} was taken in by {session}", user.name));
        Ok(Answer::UserReplicate(taken))
    }

    /// What an earlier life of the user left on share lists goes before the user comes.
    fn forget_shares(&self, user: &User, asked: &Asked) -> Result<(), Refusal> {
        asked.turn.away(asked.deadline, || self.cluster.freshen(asked.deadline))??;
        loop {
            let state = self.cluster.state();
            if state.user(user.id).is_some() || state.shared_with(user.id).next().is_none() {
                return Ok(());
            }
            drop(state);
            self.own_change(Command::ForgetUser(user.id), asked)?;
        }
    }

    /// Opens what a clone has sealed, for whoever may take such things in at all.
    fn opened_replica(
        &self,
        session: &Session,
        operation: Operation,
        message: Option<&v1::Replica>,
        asked: &Asked,
    ) -> Result<Opened, Refusal> {
        let malformed = |about| Refusal::new(Status::MalformedRequest, about);
        let message = message.ok_or_else(|| malformed("replica"))?;
        if message.header.len().saturating_add(message.sealed.len()) > REPLICA_LEN_MAX {
            return Err(malformed("replica: it is too long"));
        }
        let replica = Replica::decode(&message.header).map_err(|_| malformed("replica: its header"))?;
        let actor = session.actor();
        self.fresh(asked, |state| permit(state, &actor, operation, asked.now_ms).map(drop))?;
        let history = self.history_key()?;
        // Another history, another header, altered bytes: which of them cannot be told.
        let opened = history.open_replica(&message.header, &message.sealed).map_err(|_| Status::NotClones)?;
        let record = Record::decode(replica.what.path(), Revision(0), opened.expose());
        let record = record.map_err(|error| {
            self.log.warn(format_args!("what {} sealed cannot be read: {error}", replica.source));
            malformed("replica: the other cluster's version is another")
        })?;
        Ok(Opened { replica, header: message.header.clone(), history, record })
    }

    fn history_key(&self) -> Result<HistoryKey, Refusal> {
        let state = self.cluster.state();
        let sealed = &state.history_key().ok_or_else(|| internal("history key"))?.sealed;
        self.cluster.sealer().open_history_key(sealed).map_err(|error| self.damaged("the history key", error))
    }

    fn damaged(&self, what: &str, error: impl std::fmt::Display) -> Refusal {
        self.log.error(format_args!("{what} is damaged: {error}"));
        Status::StateDamaged.into()
    }
}

/// What a clone has sealed, opened.
struct Opened {
    replica: Replica,
    header: Vec<u8>,
    history: HistoryKey,
    record: Record,
}

fn cluster_id(text: &str) -> Result<ClusterId, Refusal> {
    text.parse().map_err(|_| Refusal::new(Status::MalformedRequest, "destination_cluster_id"))
}
