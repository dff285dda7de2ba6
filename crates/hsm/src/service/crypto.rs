//! The use of keys: the path that most requests take. No lock but the cache's, no disk, no store.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use strongroom_core::permissions::{permit, service_of};
use strongroom_core::{
    KeyUse, State, authorize, authorize_approved, authorize_for_change, authorize_random, authorize_session_key,
};
use strongroom_crypto::random;
use strongroom_crypto::verify::{VerifyError, verify};
use strongroom_crypto_keys::{PrivateKey, SecretKey, public_key};
use strongroom_types::{CipherMechanism, KeyClass, KeyReference, MacMechanism, QuorumSubject, Refusal, Secret, Status};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{cipher, convert, v1};

use super::changes::internal;
use super::keys::key_reference;
use super::session_keys::UsableKey;
use super::{Asked, Service, Session};
use crate::key_cache::ClearKey;
use crate::session_keys::HeldSessionKey;

impl Service {
    pub(super) fn sign(&self, session: &Session, message: &v1::Sign, asked: &Asked) -> Result<Answer, Refusal> {
        if let Some(mechanism) = convert::mac_mechanism(message.mechanism, message.hash, message.salt_length)? {
            let key_use = KeyUse::Mac(mechanism, message.data.len());
            let signature = self.mac(session, message.key, (key_use, mechanism), &message.data, asked)?;
            return Ok(Answer::Sign(v1::SignResult { signature }));
        }
        let mechanism = convert::sign_mechanism(message.mechanism, message.hash, message.salt_length)?;
        let key = self.authorized(session, message.key, KeyUse::Sign(mechanism, &message.data), asked)?;
        let signed = self.private(&key)?.sign(mechanism, &message.data);
        let signature = signed.map_err(|error| self.refused_key(error))?;
        self.signatures.fetch_add(1, Ordering::Relaxed);
        Ok(Answer::Sign(v1::SignResult { signature }))
    }

    pub(super) fn verify(&self, session: &Session, message: &v1::Verify, asked: &Asked) -> Result<Answer, Refusal> {
        if let Some(mechanism) = convert::mac_mechanism(message.mechanism, message.hash, message.salt_length)? {
            let key_use = KeyUse::VerifyMac(mechanism, message.data.len());
            let mac = Secret::new(self.mac(session, message.key, (key_use, mechanism), &message.data, asked)?);
            let same = strongroom_crypto::equal(mac.expose(), &message.signature);
            return if same { Ok(Answer::Verify(v1::Empty {})) } else { Err(Status::SignatureInvalid.into()) };
        }
        let mechanism = convert::sign_mechanism(message.mechanism, message.hash, message.salt_length)?;
        let key = self.authorized(session, message.key, KeyUse::Verify(mechanism, &message.data), asked)?;
        let public = key.attributes().public.as_ref().ok_or_else(|| internal("public part"))?;
        let verified = verify(public, mechanism, &message.data, &message.signature);
        verified.map_err(|error| self.refused_signature(&key, error))?;
        Ok(Answer::Verify(v1::Empty {}))
    }

    fn mac(
        &self,
        session: &Session,
        reference: u64,
        (key_use, mechanism): (KeyUse<'_>, MacMechanism),
        data: &[u8],
        asked: &Asked,
    ) -> Result<Vec<u8>, Refusal> {
        let key = self.authorized(session, reference, key_use, asked)?;
        self.secret(&key)?.mac(mechanism, data).map_err(|error| self.refused_key(error))
    }

    /// The ciphertext takes the plaintext's place in the message, and goes from there into the answer.
    pub(super) fn encrypt(
        &self,
        session: &Session,
        message: &mut v1::Encrypt,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let mechanism = cipher::encrypt_mechanism(message)?;
        let key_use = KeyUse::Encrypt(&mechanism, message.data.len());
        let key = self.authorized(session, message.key, key_use, asked)?;
        let (iv, data) = match &mechanism {
            CipherMechanism::Rsa(cipher) => {
                let public = key.attributes().public.as_ref().ok_or_else(|| internal("public part"))?;
                let encrypted = public_key::encrypt(public, *cipher, &message.data);
                (None, encrypted.map_err(|error| self.refused_key(error))?)
            }
            mechanism => {
                let clear = self.secret(&key)?;
                if matches!(mechanism, CipherMechanism::AesGcm { .. }) && self.take_use(&key, asked)? {
                    // What was taken away while the store was asked is taken away.
                    self.authorized(session, message.key, key_use, asked)?;
                }
                let encrypted = clear.encrypt(mechanism, &mut message.data);
                (encrypted.map_err(|error| self.refused_key(error))?, std::mem::take(&mut message.data))
            }
        };
        Ok(Answer::Encrypt(v1::EncryptResult { iv: iv.map_or_else(Vec::new, |iv| iv.to_vec()), data }))
    }

    /// Counts one use of the key by GCM, before it is made. Whether that waited for the store: what was decided before it is
    /// to be decided again.
    pub(super) fn take_use(&self, key: &UsableKey, asked: &Asked) -> Result<bool, Refusal> {
        match key {
            UsableKey::Stored(key) => self.uses.take(key.reference, asked.deadline),
            UsableKey::OfSession(held) => held.take_use().map(|()| false),
        }
    }

    pub(super) fn decrypt(
        &self,
        session: &Session,
        message: &mut v1::Decrypt,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let mechanism = cipher::decrypt_mechanism(message)?;
        let key_use = KeyUse::Decrypt(&mechanism, message.data.len());
        let key = self.authorized(session, message.key, key_use, asked)?;
        let data = match &mechanism {
            CipherMechanism::Rsa(cipher) => {
                let decrypted = self.private(&key)?.decrypt(*cipher, &message.data);
                decrypted.map_err(|error| self.refused_key(error))?.expose().to_vec()
            }
            mechanism => {
                let decrypted = self.secret(&key)?.decrypt(mechanism, &mut message.data);
                decrypted.map_err(|error| self.refused_key(error))?;
                std::mem::take(&mut message.data)
            }
        };
        Ok(Answer::Decrypt(v1::DecryptResult { data }))
    }

    pub(super) fn random(&self, session: &Session, message: &v1::Random, asked: &Asked) -> Result<Answer, Refusal> {
        let actor = session.actor();
        let ask = |state: &State| authorize_random(state, &actor, message.len, asked.now_ms);
        let mut data = vec![0; self.fresh(asked, ask)?];
        random::fill(&mut data);
        Ok(Answer::Random(v1::RandomResult { data }))
    }

    pub(super) fn authorized(
        &self,
        session: &Session,
        reference: u64,
        key_use: KeyUse<'_>,
        asked: &Asked,
    ) -> Result<UsableKey, Refusal> {
        let actor = session.actor();
        let reference = match self.session_key_or_stored(session, reference, key_use, asked)? {
            Ok(held) => return Ok(UsableKey::OfSession(held)),
            Err(stored) => stored,
        };
        let key = self.fresh(asked, |state| authorize(state, &actor, key_use, reference, asked.now_ms));
        let service = service_of(key_use.operation());
        match (key, service) {
            (Err(refusal), Some(service)) if refusal.status == Status::QuorumFailed && !asked.approvals.is_empty() => {
                let subject = QuorumSubject { service, key: Some(reference) };
                let request = self.spend_approvals(session, asked, key_use.operation(), vec![subject])?;
                let state = self.cluster.state();
                authorize_approved(&state, &actor, key_use, reference, &request, asked.now_ms).map(UsableKey::Stored)
            }
            (key, _) => key.map(UsableKey::Stored),
        }
    }

    /// The same for a key that a change uses, whose approvals were counted when the change was checked and are again when
    /// it is planned.
    pub(super) fn authorized_for_change(
        &self,
        session: &Session,
        reference: u64,
        key_use: KeyUse<'_>,
        asked: &Asked,
    ) -> Result<UsableKey, Refusal> {
        let reference = match self.session_key_or_stored(session, reference, key_use, asked)? {
            Ok(held) => return Ok(UsableKey::OfSession(held)),
            Err(stored) => stored,
        };
        let actor = session.actor();
        let ask = |state: &State| authorize_for_change(state, &actor, key_use, reference, asked.now_ms);
        self.fresh(asked, ask).map(UsableKey::Stored)
    }

    /// The session key that a request means, which may be used so; or the reference of a key of the store, of which nothing
    /// is decided yet.
    fn session_key_or_stored(
        &self,
        session: &Session,
        reference: u64,
        key_use: KeyUse<'_>,
        asked: &Asked,
    ) -> Result<Result<Arc<HeldSessionKey>, KeyReference>, Refusal> {
        let actor = session.actor();
        // Number 0 is no key's; who may not use keys at all learns that first.
        let Ok(reference) = key_reference(reference) else {
            permit(&self.cluster.state(), &actor, key_use.operation(), asked.now_ms)?;
            return Err(Status::KeyUnknown.into());
        };
        let Some(named) = asked.session_key(reference) else { return Ok(Err(reference)) };
        let held = self.named_session_key(session, key_use.operation(), named, asked)?;
        authorize_session_key(&self.cluster.state(), &actor, key_use, held.key(), asked.now_ms)?;
        Ok(Ok(held))
    }

    pub(super) fn private(&self, key: &UsableKey) -> Result<Arc<PrivateKey>, Refusal> {
        match self.clear(key)? {
            ClearKey::Private(key) => Ok(key),
            ClearKey::Secret(_) => Err(internal("private key")),
        }
    }

    pub(super) fn secret(&self, key: &UsableKey) -> Result<Arc<SecretKey>, Refusal> {
        match self.clear(key)? {
            ClearKey::Secret(key) => Ok(key),
            ClearKey::Private(_) => Err(internal("secret key")),
        }
    }

    /// The key in clear, parsed at its first use.
    fn clear(&self, key: &UsableKey) -> Result<ClearKey, Refusal> {
        match key {
            UsableKey::Stored(key) => {
                if let Some(found) = self.keys.find(key.reference, key.revision) {
                    return Ok(found);
                }
            }
            UsableKey::OfSession(held) => {
                if let Some(found) = held.clear() {
                    return Ok(found.clone());
                }
            }
        }
        let parsed = self.opened(key)?;
        match key {
            UsableKey::OfSession(held) => Ok(held.keep(parsed).clone()),
            UsableKey::Stored(key) => {
                self.keys.insert(key.reference, key.revision, parsed.clone());
                // A record that went while its key was being parsed takes it along.
                let stands = self.cluster.state().key(key.reference).is_some_and(|now| now.revision == key.revision);
                if !stands {
                    self.keys.remove(key.reference);
                }
                Ok(parsed)
            }
        }
    }

    fn opened(&self, key: &UsableKey) -> Result<ClearKey, Refusal> {
        let material = self.material(key)?;
        match key.attributes().class {
            KeyClass::PrivateKey => {
                let key = PrivateKey::from_pkcs8(&material).map_err(|error| self.refused_key(error))?;
                Ok(ClearKey::Private(Arc::new(key)))
            }
            KeyClass::SecretKey => Ok(ClearKey::Secret(Arc::new(SecretKey::new(key.attributes().key_type, material)))),
            KeyClass::PublicKey => Err(internal("sealed material")),
        }
    }

    /// The key's bytes in clear.
    pub(super) fn material(&self, key: &UsableKey) -> Result<Secret, Refusal> {
        let sealed = key.sealed().ok_or_else(|| internal("sealed material"))?;
        self.opened_material(key.reference(), sealed)
    }

    pub(super) fn opened_material(&self, reference: KeyReference, sealed: &[u8]) -> Result<Secret, Refusal> {
        self.cluster.sealer().open_material(reference, sealed).map_err(|error| {
            self.log.error(format_args!("the material of key {reference} is damaged: {error}"));
            Status::StateDamaged.into()
        })
    }

    fn refused_signature(&self, key: &UsableKey, error: VerifyError) -> Refusal {
        let status = match error {
            VerifyError::KeyType => Status::KeyTypeInconsistent,
            VerifyError::DataLength => Status::DataLengthInvalid,
            VerifyError::SaltLength => Status::MechanismInvalid,
            VerifyError::Signature => Status::SignatureInvalid,
            VerifyError::Key => {
                self.log.error(format_args!("the public part of key {} cannot be used: {error}", key.reference()));
                Status::Internal
            }
        };
        status.into()
    }
}
