//! Copies of keys.

use std::sync::Arc;

use strongroom_core::permissions::Operation;
use strongroom_core::{Command, Made, MadeKey, SourceKey};
use strongroom_types::{KeyReference, Refusal, Status};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{convert, v1};

use super::keys::{drawn_reference, key_reference};
use super::{Asked, Service, Session};

impl Service {
    pub(super) fn key_copy(&self, session: &Session, message: &v1::KeyCopy, asked: &Asked) -> Result<Answer, Refusal> {
        self.permitted(session, Operation::KeyCopy, asked)?;
        let template = convert::template(&message.template)?;
        let from = self.source_key(session, Operation::KeyCopy, key_reference(message.reference), asked)?;
        let command = Command::CopyKey { from: from.clone(), template };
        let make = || self.made_copy(&from).map(Made::Key);
        self.one_key(session, asked, &command, make).map(Answer::KeyCopy)
    }

    /// The original's material, sealed for another reference. It goes nowhere unless the rules still let it be copied then.
    fn made_copy(&self, from: &SourceKey) -> Result<MadeKey, Refusal> {
        let state = self.cluster.state();
        let (original, attributes, sealed) = match from {
            SourceKey::Stored(reference) => {
                let key = state.key(*reference).ok_or(Status::KeyUnknown)?;
                (key.reference, &key.attributes, &key.sealed)
            }
            SourceKey::OfSession(key) => (key.reference, &key.attributes, &key.sealed),
        };
        let reference = drawn_reference();
        let seal = |sealed: &Arc<[u8]>| -> Result<Arc<[u8]>, Refusal> {
            let material = self.opened_material(original, sealed)?;
            Ok(self.cluster.sealer().seal_material(reference, &material).into())
        };
        Ok(MadeKey {
            reference,
            sealed: sealed.as_ref().map(seal).transpose()?,
            public: attributes.public.clone(),
            length_bytes: attributes.length_bytes,
            weak: false,
            check_value: attributes.check_value,
        })
    }

    /// The key that a new one is made of: one of the connection's login, or one of the store, of which nothing is decided yet.
    pub(super) fn source_key(
        &self,
        session: &Session,
        operation: Operation,
        reference: Result<KeyReference, Refusal>,
        asked: &Asked,
    ) -> Result<SourceKey, Refusal> {
        let reference = reference?;
        match asked.session_key(reference) {
            Some(named) => {
                let held = self.named_session_key(session, operation, named, asked)?;
                Ok(SourceKey::OfSession(Box::new(held.original())))
            }
            None => Ok(SourceKey::Stored(reference)),
        }
    }
}
