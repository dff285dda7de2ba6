use std::sync::Arc;

use prost::Message;
use strongroom_types::{Attributes, CredentialId, Flag, KeyReference, LoginId, UserId};
use thiserror::Error;

use super::codec::{Field, VERSION, attributes_message, attributes_of, sealed_of, uses_of, with_version};
use super::messages::{KeyMessage, SessionKeyMessage};
use crate::Actor;

/// A key that lives as long as one login. Not a record: it leaves the HSM sealed, for the login's client to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKey {
    /// Reference.
    pub reference: KeyReference,
    /// The login that it lives with.
    pub login: LoginId,
    /// The password that this login rested on: a new one ends the key, though the login may go on.
    pub credential: CredentialId,
    /// Whose login that is.
    pub owner: UserId,
    /// Attributes; `token` is false.
    pub attributes: Attributes,
    /// The material, sealed as every key's; none for public keys.
    pub sealed: Option<Arc<[u8]>>,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Of a copy, uses by GCM of the same material before: those that had been reserved of its original, or, of a session
    /// key, those that all HSMs together may have made of it if each made as many as the HSM that copied it.
    pub uses_before: u64,
}

/// Bytes that are no session key, though they were sealed as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes of the session key are damaged, or of a format this version does not know")]
pub struct CorruptSessionKey;

impl SessionKey {
    /// Whether the key is one of this actor's login, as it rests on its password now. Whether that login stands is
    /// another question.
    pub fn is_of(&self, actor: &Actor) -> bool {
        let own = |login: &crate::LoginActor| (login.login, login.credential, login.user);
        matches!(actor, Actor::Login(login) if own(login) == (self.login, self.credential, self.owner))
    }

    /// The bytes to seal for the login and the reference. They hold the material sealed, nothing in clear.
    pub fn encode(&self) -> Vec<u8> {
        let key = KeyMessage {
            reference: self.reference.as_u64(),
            owner: self.owner.as_bytes().to_vec(),
            sealed: self.sealed.as_ref().map(|sealed| sealed.to_vec()).unwrap_or_default(),
            created_ms: self.created_ms,
            uses_reserved: self.uses_before,
            ..attributes_message(&self.attributes)
        };
        let (login, credential) = (self.login.as_bytes().to_vec(), self.credential.as_bytes().to_vec());
        with_version(&SessionKeyMessage { login, credential, key: Some(key) }).expose().to_vec()
    }

    /// Reads bytes that were sealed as a session key.
    pub fn decode(bytes: &[u8]) -> Result<SessionKey, CorruptSessionKey> {
        let content = bytes.strip_prefix(&[VERSION]).ok_or(CorruptSessionKey)?;
        let message = SessionKeyMessage::decode(content).map_err(|_| CorruptSessionKey)?;
        let key = session_key_of(message).map_err(|_| CorruptSessionKey)?;
        // The one form of it: nothing that this version would drop.
        if key.encode() == bytes { Ok(key) } else { Err(CorruptSessionKey) }
    }
}

fn session_key_of(message: SessionKeyMessage) -> Field<SessionKey> {
    let key = message.key.ok_or("key")?;
    let decoded = SessionKey {
        reference: KeyReference::from_u64(key.reference).ok_or("reference")?,
        login: LoginId::try_from(message.login.as_slice()).map_err(|_| "login")?,
        credential: CredentialId::try_from(message.credential.as_slice()).map_err(|_| "credential")?,
        owner: UserId::try_from(key.owner.as_slice()).map_err(|_| "owner")?,
        sealed: sealed_of(&key)?,
        created_ms: key.created_ms,
        uses_before: uses_of(&key)?,
        attributes: attributes_of(key)?,
    };
    if decoded.attributes.flags.has(Flag::Token) { Err("flags") } else { Ok(decoded) }
}
