//! Keys that leave and come in wrapped, and keys that come in as they are.
//!
//! * Wrapping is a use: nothing is committed, and who asks twice has two wrapped forms.
//! * Unwrapping and importing make keys, and are changes. What unwraps is decided upon before anything is opened, and
//!   again when the key is made.

use std::sync::Arc;

use strongroom_core::permissions::Operation;
use strongroom_core::{
    Command, ImportedKey, KeyUse, Made, MadeKey, NamedKey, Reply, WrapKeys, authorize_wrap, authorize_wrap_approved,
    is_for_session,
};
use strongroom_crypto::spki::{self, SpkiError};
use strongroom_crypto_keys::generate::GeneratedPair;
use strongroom_crypto_keys::import::{self, ImportError, ImportedSecret};
use strongroom_crypto_keys::wrap::{self, Beside, Unwrapped};
use strongroom_types::limits::{PRIVATE_KEY_INFO_LEN_MAX, PUBLIC_KEY_INFO_LEN_MAX};
use strongroom_types::{
    KeyClass, KeyReference, KeyType, PublicPart, QuorumService, QuorumSubject, Refusal, Secret, Status,
};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{Wrapping, convert, v1};

use super::changes::internal;
use super::keys::{drawn_reference, key_message, key_quorum, key_reference, names};
use super::session_keys::UsableKey;
use super::{Asked, Service, Session};
use crate::session_keys::HeldSessionKey;

/// One of the keys that a wrapping names.
enum Named {
    Stored(KeyReference),
    OfSession(Arc<HeldSessionKey>),
}

impl Named {
    fn key(&self) -> NamedKey<'_> {
        match self {
            Named::Stored(reference) => NamedKey::Stored(*reference),
            Named::OfSession(held) => NamedKey::OfSession(held.key()),
        }
    }
}

impl Service {
    pub(super) fn key_wrap(&self, session: &Session, message: &v1::KeyWrap, asked: &Asked) -> Result<Answer, Refusal> {
        self.permitted(session, Operation::KeyWrap, asked)?;
        let Wrapping { mechanism, aad, iv } = wrapping(message.wrapping.as_ref())?;
        if !iv.is_empty() {
            // The HSM draws it: nobody else may choose what must not come twice.
            return Err(Refusal::new(Status::MechanismInvalid, "iv"));
        }
        let named = || (key_reference(message.wrapping_key), key_reference(message.payload));
        let (wrapping, payload) = self.wrap_keys(session, mechanism, named(), asked)?;
        let material = self.material(&payload)?;
        if mechanism.is_gcm() && self.take_use(&wrapping, asked)? {
            // What was taken away while the store was asked is taken away.
            self.wrap_keys(session, mechanism, named(), asked)?;
        }
        let wrapped = match &wrapping.attributes().public {
            Some(public) => wrap::wrap(mechanism, wrap::WrappingKey::Rsa(public), &aad, &material),
            None => wrap::wrap(mechanism, wrap::WrappingKey::Aes(&*self.secret(&wrapping)?), &aad, &material),
        };
        let wrapped = wrapped.map_err(|error| self.refused_key(error))?;
        Ok(Answer::KeyWrap(v1::KeyWrapResult { iv: wrapped.iv, wrapped: wrapped.data }))
    }

    /// Both keys of a wrapping, if the rules let them be used so.
    fn wrap_keys(
        &self,
        session: &Session,
        mechanism: strongroom_types::WrapMechanism,
        (wrapping, payload): (Result<KeyReference, Refusal>, Result<KeyReference, Refusal>),
        asked: &Asked,
    ) -> Result<(UsableKey, UsableKey), Refusal> {
        let (actor, operation) = (session.actor(), Operation::KeyWrap);
        let named = |reference: Result<KeyReference, Refusal>| -> Result<Named, Refusal> {
            let reference = reference?;
            match asked.session_key(reference) {
                Some(named) => Ok(Named::OfSession(self.named_session_key(session, operation, named, asked)?)),
                None => Ok(Named::Stored(reference)),
            }
        };
        let (wrapping, payload) = (named(wrapping)?, named(payload)?);
        let keys = || (wrapping.key(), payload.key());
        let found = self.fresh(asked, |state| authorize_wrap(state, &actor, mechanism, keys(), asked.now_ms));
        let WrapKeys { wrapping: stored_wrapping, payload: stored_payload } = match found {
            Err(refusal) if refusal.status == Status::QuorumFailed && !asked.approvals.is_empty() => {
                let stored = |named: &Named| match named {
                    Named::Stored(key) => {
                        Some(QuorumSubject { service: QuorumService::KeyManagement, key: Some(*key) })
                    }
                    Named::OfSession(_) => None,
                };
                let subjects = [&wrapping, &payload].into_iter().filter_map(stored).collect();
                let request = self.spend_approvals(session, asked, operation, subjects)?;
                authorize_wrap_approved(&self.cluster.state(), &actor, mechanism, keys(), &request, asked.now_ms)?
            }
            found => found?,
        };
        Ok((usable(wrapping, stored_wrapping)?, usable(payload, stored_payload)?))
    }

    pub(super) fn key_unwrap(
        &self,
        session: &Session,
        message: &v1::KeyUnwrap,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        self.permitted(session, Operation::KeyUnwrap, asked)?;
        let Wrapping { mechanism, aad, iv } = wrapping(message.wrapping.as_ref())?;
        let kind = (convert::key_class(message.class)?, convert::key_type(message.key_type)?);
        let (template, share_with) = (convert::template(&message.template)?, names(&message.share_with)?);
        let defaults = convert::template(&message.defaults)?;
        let quorum = key_quorum(message.manage_quorum, message.use_quorum)?;
        let with = self.source_key(session, Operation::KeyUnwrap, key_reference(message.unwrapping_key), asked)?;
        let wrapped_len = message.wrapped.len();
        let (class, key_type) = kind;
        let command = Command::UnwrapKey {
            with,
            mechanism,
            wrapped_len,
            class,
            key_type,
            template,
            defaults,
            share_with,
            quorum,
        };
        let user = self.waits_as(session);
        let make = || {
            let key_use = KeyUse::Unwrap(mechanism, wrapped_len);
            let key = self.authorized_for_change(session, message.unwrapping_key, key_use, asked)?;
            // An RSA key's numbers are tested for being primes, which takes as long as making some.
            let _place = match key_type {
                KeyType::Rsa => Some(self.generation.enter(user, asked.deadline)?),
                KeyType::Aes | KeyType::Des3 | KeyType::Ec | KeyType::GenericSecret | KeyType::MlDsa => None,
            };
            let beside = Beside { aad: &aad, iv: &iv };
            let unwrapped = match key.attributes().class {
                KeyClass::PrivateKey => {
                    let key = self.private(&key)?;
                    wrap::unwrap(mechanism, wrap::UnwrappingKey::Rsa(&key), beside, &message.wrapped, kind)
                }
                KeyClass::SecretKey | KeyClass::PublicKey => {
                    let key = self.secret(&key)?;
                    wrap::unwrap(mechanism, wrap::UnwrappingKey::Aes(&key), beside, &message.wrapped, kind)
                }
            };
            unwrapped.map(|unwrapped| self.made_key(unwrapped)).map_err(|error| self.refused_key(error))
        };
        self.one_key(session, asked, &command, make).map(Answer::KeyUnwrap)
    }

    pub(super) fn key_import(
        &self,
        session: &Session,
        message: &v1::KeyImport,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        // Strangers give nobody numbers to check.
        self.permitted(session, Operation::KeyImport, asked)?;
        let key_type = convert::key_type(message.key_type)?;
        let template = convert::template(&message.template)?;
        let key = imported_key(message, key_type)?;
        let user = self.waits_as(session);
        let make = || match &key {
            ImportedKey::Public(public) => {
                let (reference, check_value) = (drawn_reference(), Some(spki::check_value(public)));
                let public = Some(public.clone());
                Ok(Made::Key(MadeKey { reference, sealed: None, public, length_bytes: 0, weak: false, check_value }))
            }
            ImportedKey::Private(_) => {
                // An RSA key's numbers are tested for being primes, which takes as long as making some.
                let _place = match key_type {
                    KeyType::Rsa => Some(self.generation.enter(user, asked.deadline)?),
                    KeyType::Aes | KeyType::Des3 | KeyType::Ec | KeyType::GenericSecret | KeyType::MlDsa => None,
                };
                let pkcs8 = Secret::from(message.private_key_info.as_slice());
                let pair = import::private(key_type, &pkcs8).map_err(no_key)?;
                Ok(self.made_private_key(pair))
            }
            ImportedKey::Secret(..) => {
                let material = Secret::from(message.secret.as_slice());
                import::secret(key_type, material).map(|key| self.made_secret_key(key)).map_err(no_key)
            }
        };
        let command = Command::ImportKey { key: key.clone(), template };
        self.one_key(session, asked, &command, make).map(Answer::KeyImport)
    }

    /// A change, or the making of a session key, whose answer is one key.
    pub(super) fn one_key(
        &self,
        session: &Session,
        asked: &Asked,
        command: &Command,
        make: impl FnMut() -> Result<Made, Refusal>,
    ) -> Result<v1::Key, Refusal> {
        if self.is_for_session(session, command, asked)? {
            let keys = self.make_session_keys(session, asked, command, make)?;
            let [key] = <[v1::Key; 1]>::try_from(keys).map_err(|_| internal("session keys"))?;
            return Ok(key);
        }
        match self.change(session, asked, command, make)? {
            Reply::Key(key) => Ok(key_message(key)),
            Reply::Done
            | Reply::User { .. }
            | Reply::Pair { .. }
            | Reply::TrustAnchor(_)
            | Reply::Token(_)
            | Reply::Certificate(_)
            | Reply::Uses(_) => Err(internal("reply")),
        }
    }

    /// Whether a command asks for session keys. Of a key that the caller does not see nothing can be known: the change
    /// finds that out, or that it was made before.
    fn is_for_session(&self, session: &Session, command: &Command, asked: &Asked) -> Result<bool, Refusal> {
        let actor = session.actor();
        match self.fresh(asked, |state| is_for_session(state, &actor, command)) {
            Err(refusal) if refusal.status == Status::KeyUnknown => Ok(false),
            outcome => outcome,
        }
    }

    fn made_key(&self, unwrapped: Unwrapped) -> Made {
        let reference = drawn_reference();
        let sealed = Arc::from(self.cluster.sealer().seal_material(reference, &unwrapped.material));
        let Unwrapped { public, check_value, length_bytes, weak, .. } = unwrapped;
        Made::Key(MadeKey { reference, sealed: Some(sealed), public, length_bytes, weak, check_value })
    }

    fn made_private_key(&self, pair: GeneratedPair) -> Made {
        let length_bytes = pair.private_length_bytes();
        let GeneratedPair { public, pkcs8, check_value } = pair;
        let (public, check_value) = (Some(public), Some(check_value));
        self.made_key(Unwrapped { material: pkcs8, public, check_value, length_bytes, weak: false })
    }

    pub(super) fn made_secret_key(&self, imported: ImportedSecret) -> Made {
        let ImportedSecret { material, check_value, length_bytes, weak } = imported;
        self.made_key(Unwrapped { material, public: None, check_value, length_bytes, weak })
    }
}

/// What a message brings in: exactly one key, of the type that it is said to be.
fn imported_key(message: &v1::KeyImport, key_type: KeyType) -> Result<ImportedKey, Refusal> {
    let malformed = |field| Refusal::new(Status::MalformedRequest, field);
    let v1::KeyImport { public_key_info, private_key_info, secret, .. } = message;
    match (public_key_info.is_empty(), private_key_info.is_empty(), secret.is_empty()) {
        (_, true, true) => {
            let public = public_part(public_key_info)?;
            if public.key_type() != key_type {
                return Err(Refusal::new(Status::TemplateInconsistent, "key-type"));
            }
            Ok(ImportedKey::Public(public))
        }
        (true, false, true) if private_key_info.len() > PRIVATE_KEY_INFO_LEN_MAX => Err(malformed("private_key_info")),
        (true, false, true) => Ok(ImportedKey::Private(key_type)),
        (true, true, false) => {
            let len = u32::try_from(secret.len()).map_err(|_| malformed("secret"))?;
            Ok(ImportedKey::Secret(key_type, len))
        }
        _ => Err(malformed("public_key_info")),
    }
}

/// What is wrong with a key that comes in is told in no more detail than this: who imports it has it.
fn no_key(error: ImportError) -> Refusal {
    Refusal::new(Status::AttributeValueInvalid, error.to_string())
}

fn usable(named: Named, stored: Option<Arc<strongroom_core::Key>>) -> Result<UsableKey, Refusal> {
    match (named, stored) {
        (Named::OfSession(held), _) => Ok(UsableKey::OfSession(held)),
        (Named::Stored(_), Some(key)) => Ok(UsableKey::Stored(key)),
        (Named::Stored(_), None) => Err(internal("wrapping keys")),
    }
}

fn wrapping(message: Option<&v1::Wrapping>) -> Result<Wrapping, Refusal> {
    let message = message.ok_or_else(|| Refusal::new(Status::MalformedRequest, "wrapping"))?;
    Ok(Wrapping::try_from(message)?)
}

/// A public key that comes from outside, which is a key at all. Whether it may be kept is for the rules.
fn public_part(info: &[u8]) -> Result<PublicPart, Refusal> {
    if info.len() > PUBLIC_KEY_INFO_LEN_MAX {
        return Err(Refusal::new(Status::MalformedRequest, "public_key_info"));
    }
    spki::decode(info).map_err(|error| {
        let status = match error {
            SpkiError::Curve => Status::CurveInvalid,
            SpkiError::Der(_) | SpkiError::Algorithm | SpkiError::Invalid => Status::AttributeValueInvalid,
        };
        Refusal::new(status, error.to_string())
    })
}
