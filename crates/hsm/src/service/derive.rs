//! Secret keys made from other keys, and values of keys in clear.

use strongroom_core::permissions::Operation;
use strongroom_core::{Command, KeyUse};
use strongroom_crypto_keys::derive::{self, BaseKey};
use strongroom_crypto_keys::import;
use strongroom_types::{Derivation, Refusal, Secret, Status};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{convert, derivation, v1};

use super::changes::internal;
use super::keys::key_reference;
use super::session_keys::UsableKey;
use super::{Asked, Service, Session};

impl Service {
    pub(super) fn key_derive(
        &self,
        session: &Session,
        message: &v1::KeyDerive,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        self.permitted(session, Operation::KeyDerive, asked)?;
        let derivation = derivation(message.derivation.as_ref())?;
        let (key_type, length_bytes) = (convert::key_type(message.key_type)?, message.length_bytes);
        let template = convert::template(&message.template)?;
        let base = self.source_key(session, Operation::KeyDerive, key_reference(message.base_key), asked)?;
        let command = Command::DeriveKey { base, derivation: derivation.clone(), key_type, length_bytes, template };
        let make = || {
            let key_use = KeyUse::Derive(&derivation, length_bytes);
            let base = self.authorized_for_change(session, message.base_key, key_use, asked)?;
            let derived = self.derived(&base, &derivation, (key_type, length_bytes))?;
            let imported = import::computed_secret(key_type, derived).map_err(|_| internal("derived key"))?;
            Ok(self.made_secret_key(imported))
        };
        self.one_key(session, asked, &command, make).map(Answer::KeyDerive)
    }

    fn derived(
        &self,
        base: &UsableKey,
        derivation: &Derivation,
        (key_type, length_bytes): (strongroom_types::KeyType, u32),
    ) -> Result<Secret, Refusal> {
        let len = usize::try_from(length_bytes).map_err(|_| Status::KeySizeInvalid)?;
        let derived = match derivation {
            Derivation::Ecdh { .. } => {
                derive::derive(BaseKey::Private(&*self.private(base)?), derivation, key_type, len)
            }
            Derivation::CounterKdf { .. } => {
                derive::derive(BaseKey::Secret(&self.material(base)?), derivation, key_type, len)
            }
        };
        derived.map_err(|error| self.refused_key(error))
    }

    pub(super) fn key_read_value(
        &self,
        session: &Session,
        message: &v1::KeyReadValue,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let key = self.authorized(session, message.reference, KeyUse::ReadValue, asked)?;
        let value = self.material(&key)?.expose().to_vec();
        Ok(Answer::KeyReadValue(v1::KeyReadValueResult { value }))
    }
}
