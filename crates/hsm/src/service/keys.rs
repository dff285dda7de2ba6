//! Making, finding and deleting keys.

use std::sync::Arc;

use prost::Message;
use strongroom_core::permissions::Operation;
use strongroom_core::{
    Command, KeyView, Made, MadePair, MadeSecret, PairAlgorithm, Reply, find_keys, is_for_session, key_view,
};
use strongroom_crypto::random;
use strongroom_crypto_keys::{KeyError, generate};
use strongroom_types::limits::{FRAME_LEN_MAX, SHARED_USERS_MAX};
use strongroom_types::{KeyQuorum, KeyReference, KeyType, Refusal, Status, UserName};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{KeyInfo, convert, v1};

use super::changes::{internal, user_name};
use super::{Asked, Service, Session};

/// Bytes of keys in one answer: a frame, with room for what stands around them.
const PAGE_LEN_MAX: usize = FRAME_LEN_MAX - 64 * 1024;

impl Service {
    pub(super) fn key_generate_secret(
        &self,
        session: &Session,
        message: &v1::KeyGenerateSecret,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let key_type = convert::key_type(message.key_type)?;
        let command = Command::GenerateSecret {
            key_type,
            length_bytes: message.length_bytes,
            template: convert::template(&message.template)?,
            share_with: names(&message.share_with)?,
            quorum: key_quorum(message.manage_quorum, message.use_quorum)?,
        };
        let user = self.waits_as(session);
        let make = || {
            let _place = self.generation.enter(user, asked.deadline)?;
            self.made_secret(key_type, message.length_bytes).map(Made::Secret)
        };
        self.one_key(session, asked, &command, make).map(Answer::KeyGenerateSecret)
    }

    pub(super) fn key_generate_pair(
        &self,
        session: &Session,
        message: &v1::KeyGeneratePair,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let algorithm = match message.algorithm.as_ref() {
            None => return Err(Refusal::new(Status::MalformedRequest, "algorithm")),
            Some(v1::key_generate_pair::Algorithm::Curve(number)) => PairAlgorithm::Ec(convert::curve(*number)?),
            Some(v1::key_generate_pair::Algorithm::MlDsa(number)) => {
                PairAlgorithm::MlDsa(convert::ml_dsa_algorithm(*number)?)
            }
            Some(v1::key_generate_pair::Algorithm::Rsa(rsa)) => {
                PairAlgorithm::Rsa { modulus_bits: rsa.modulus_bits, public_exponent: rsa.public_exponent.clone() }
            }
        };
        let command = Command::GeneratePair {
            algorithm: algorithm.clone(),
            public_template: convert::template(&message.public_template)?,
            private_template: convert::template(&message.private_template)?,
            share_with: names(&message.share_with)?,
            quorum: key_quorum(message.manage_quorum, message.use_quorum)?,
        };
        let user = self.waits_as(session);
        let make = || {
            let _place = self.generation.enter(user, asked.deadline)?;
            self.made_pair(&algorithm).map(Made::Pair)
        };
        if is_for_session(&self.cluster.state(), &session.actor(), &command)? {
            let keys = self.make_session_keys(session, asked, &command, make)?;
            let [public, private] = <[v1::Key; 2]>::try_from(keys).map_err(|_| internal("session keys"))?;
            let pair = v1::KeyPair { public_key: Some(public), private_key: Some(private) };
            return Ok(Answer::KeyGeneratePair(pair));
        }
        match self.change(session, asked, &command, make)? {
            Reply::Pair { public, private } => Ok(Answer::KeyGeneratePair(v1::KeyPair {
                public_key: Some(key_message(public)),
                private_key: Some(key_message(private)),
            })),
            Reply::Done
            | Reply::User { .. }
            | Reply::Key(_)
            | Reply::TrustAnchor(_)
            | Reply::Token(_)
            | Reply::Certificate(_)
            | Reply::Uses(_) => Err(internal("reply")),
        }
    }

    fn made_secret(&self, key_type: KeyType, length_bytes: u32) -> Result<MadeSecret, Refusal> {
        let len = usize::try_from(length_bytes).map_err(|_| Status::KeySizeInvalid)?;
        let (material, check_value) = match key_type {
            KeyType::Des3 => {
                let key = generate::des3().map_err(|error| self.refused_key(error))?;
                (key.material, key.check_value)
            }
            KeyType::Aes => {
                let material = generate::secret(len);
                let check_value = generate::aes_check_value(&material).map_err(|error| self.refused_key(error))?;
                (material, Some(check_value))
            }
            KeyType::Ec | KeyType::GenericSecret | KeyType::MlDsa | KeyType::Rsa => (generate::secret(len), None),
        };
        let reference = drawn_reference();
        let sealed = Arc::from(self.cluster.sealer().seal_material(reference, &material));
        Ok(MadeSecret { reference, sealed, check_value })
    }

    fn made_pair(&self, algorithm: &PairAlgorithm) -> Result<MadePair, Refusal> {
        let generated = match algorithm {
            PairAlgorithm::Rsa { modulus_bits, public_exponent } => generate::rsa(*modulus_bits, public_exponent),
            PairAlgorithm::Ec(curve) => generate::ec(*curve),
            PairAlgorithm::MlDsa(algorithm) => generate::ml_dsa(*algorithm),
        };
        let generated = generated.map_err(|error| self.refused_key(error))?;
        let private_reference = drawn_reference();
        Ok(MadePair {
            public_reference: drawn_reference(),
            private_reference,
            private_length_bytes: generated.private_length_bytes(),
            public: generated.public,
            sealed: Arc::from(self.cluster.sealer().seal_material(private_reference, &generated.pkcs8)),
            check_value: generated.check_value,
        })
    }

    pub(super) fn key_find(&self, session: &Session, message: &v1::KeyFind, asked: &Asked) -> Result<Answer, Refusal> {
        let filter = convert::filter(message.reference, &message.filter)?;
        let ask = |state: &strongroom_core::State| {
            find_keys(state, &session.actor(), &filter, message.offset, message.limit, asked.now_ms)
        };
        // Who may not search needs no newest revision.
        self.fresh(asked, |state| ask(state).map(drop))?;
        self.freshen_for_list(asked)?;
        let found = ask(&self.cluster.state())?;
        let total = u32::try_from(found.total()).unwrap_or(u32::MAX);
        let references = match message.all_references {
            true => found.references.iter().map(|reference| reference.as_u64()).collect(),
            false => Vec::new(),
        };
        let keys = page(found.keys, references.len() * size_of::<u64>());
        Ok(Answer::KeyFind(v1::KeyFindResult { total, keys, references }))
    }

    pub(super) fn key_get(&self, session: &Session, message: &v1::KeyGet, asked: &Asked) -> Result<Answer, Refusal> {
        let actor = session.actor();
        // Who may not ask is told so first.
        self.permitted(session, Operation::KeyGet, asked)?;
        let reference = key_reference(message.reference)?;
        let key = self.fresh(asked, |state| key_view(state, &actor, reference, asked.now_ms))?;
        Ok(Answer::KeyGet(key_message(key)))
    }

    pub(super) fn key_delete(
        &self,
        session: &Session,
        message: &v1::KeyDelete,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let reference = key_reference(message.reference)?;
        if let Some(named) = asked.session_key(reference) {
            self.delete_session_key(session, named, asked)?;
            return Ok(Answer::KeyDelete(v1::Empty {}));
        }
        self.change_only(session, asked, &Command::DeleteKey(reference))?;
        Ok(Answer::KeyDelete(v1::Empty {}))
    }

    pub(super) fn key_share(
        &self,
        session: &Session,
        message: &v1::KeyShare,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let (name, role) = (user_name(&message.user_name)?, convert::role(message.role)?);
        let key = self.stored_key(session, Operation::KeyShare, message.reference, asked)?;
        self.change_only(session, asked, &Command::ShareKey { key, name, role })?;
        Ok(Answer::KeyShare(v1::Empty {}))
    }

    pub(super) fn key_unshare(
        &self,
        session: &Session,
        message: &v1::KeyUnshare,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let (name, role) = (user_name(&message.user_name)?, convert::role(message.role)?);
        let key = self.stored_key(session, Operation::KeyUnshare, message.reference, asked)?;
        self.change_only(session, asked, &Command::UnshareKey { key, name, role })?;
        Ok(Answer::KeyUnshare(v1::Empty {}))
    }

    pub(super) fn key_set_attribute(
        &self,
        session: &Session,
        message: &v1::KeySetAttribute,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let (attribute, value) = convert::one_attribute(message.attribute.as_ref())?;
        let key = self.stored_key(session, Operation::KeySetAttribute, message.reference, asked)?;
        self.change_only(session, asked, &Command::SetAttribute { key, attribute, value })?;
        Ok(Answer::KeySetAttribute(v1::Empty {}))
    }

    /// The key that a message names, for what session keys cannot do. Whether there is such a key is for the change to
    /// find out.
    fn stored_key(
        &self,
        session: &Session,
        operation: Operation,
        number: u64,
        asked: &Asked,
    ) -> Result<KeyReference, Refusal> {
        let reference = key_reference(number)?;
        if let Some(named) = asked.session_key(reference) {
            self.named_session_key(session, operation, named, asked)?;
            return Err(Status::SessionKeyFixed.into());
        }
        Ok(reference)
    }

    /// What an error of the room of keys is to a client. What only broken hardware or stored bytes explain is for the
    /// operator to read.
    pub(super) fn refused_key(&self, error: KeyError) -> Refusal {
        let status = match error {
            KeyError::RsaBits | KeyError::Exponent | KeyError::AesLength => Status::KeySizeInvalid,
            KeyError::KeyType => Status::KeyTypeInconsistent,
            KeyError::DataLength => Status::DataLengthInvalid,
            KeyError::DataRange | KeyError::PeerPoint => Status::DataInvalid,
            KeyError::SaltLength => Status::MechanismInvalid,
            KeyError::Decryption => Status::DecryptionFailed,
            KeyError::PayloadLength => Status::PayloadInvalid,
            KeyError::IvLength => Status::MechanismInvalid,
            KeyError::Unwrapping => Status::UnwrappingFailed,
            KeyError::Pkcs8 | KeyError::Public | KeyError::Fault => {
                self.log.error(format_args!("a key operation failed: {error}"));
                Status::Internal
            }
        };
        status.into()
    }
}

/// The key that a message names. Zero is no key's reference.
pub(super) fn key_reference(number: u64) -> Result<KeyReference, Refusal> {
    KeyReference::from_u64(number).ok_or_else(|| Status::KeyUnknown.into())
}

pub(super) fn drawn_reference() -> KeyReference {
    loop {
        if let Some(reference) = KeyReference::from_random(random::bytes()) {
            return reference;
        }
    }
}

pub(super) fn key_quorum(manage: u32, usage: u32) -> Result<KeyQuorum, Refusal> {
    KeyQuorum::from_numbers(manage, usage).ok_or_else(|| Status::QuorumValueInvalid.into())
}

pub(super) fn names(texts: &[String]) -> Result<Vec<UserName>, Refusal> {
    if texts.len() > SHARED_USERS_MAX {
        return Err(Refusal::new(Status::MalformedRequest, "share_with"));
    }
    texts.iter().map(|text| user_name(text)).collect()
}

pub(super) fn key_message(key: KeyView) -> v1::Key {
    let KeyView { reference, attributes, owner, shared_with, quorum, revision } = key;
    KeyInfo { reference, attributes, owner, shared_with, quorum, revision }.into()
}

/// As many keys as a frame holds beside so many other bytes, one at least; the client asks for the others.
pub(super) fn page(keys: Vec<KeyView>, others_len: usize) -> Vec<v1::Key> {
    let mut len = others_len;
    let mut page = Vec::with_capacity(keys.len());
    for key in keys {
        let message = key_message(key);
        // Tag and length of the field stand in front.
        len += message.encoded_len() + 8;
        if len > PAGE_LEN_MAX && !page.is_empty() {
            break;
        }
        page.push(message);
    }
    page
}
