//! Records of quorum and MFA: tokens, values, challenges that were used.

use prost::Message;
use strongroom_types::limits::{
    QUORUM_TOKEN_SECONDS_DEFAULT, QUORUM_TOKEN_SECONDS_MAX, QUORUM_TOKEN_SECONDS_MIN, QUORUM_VALUE_MAX,
};
use strongroom_types::{
    ChallengeId, CredentialId, KeyReference, LoginId, QuorumService, QuorumSubject, RecordKind, RecordPath, Revision,
    TokenId, TokenKey, UserId,
};

use super::codec::Field;
use super::messages::RsaMessage;

/// What users may approve together, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumToken {
    /// Random; never given again.
    pub id: TokenId,
    /// Who may use it.
    pub user: UserId,
    /// In this login only.
    pub login: LoginId,
    /// As it rests on its password now.
    pub credential: CredentialId,
    /// For what.
    pub subject: QuorumSubject,
    /// The batch that made it.
    pub revision: Revision,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends.
    pub expires_ms: u64,
}

/// How many admins must approve what, and for how long tokens are good. A cluster without the record has the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumValues {
    /// For the service user; 1 is the admin who asks alone, without a token.
    pub user: u8,
    /// For the service quorum.
    pub quorum: u8,
    /// For the service cluster.
    pub cluster: u8,
    /// Seconds within which a token is approved.
    pub generated_seconds: u32,
    /// Seconds within which it is used. Approvals come with the use, so the shorter time counts.
    pub approved_seconds: u32,
    /// Tokens of this batch and earlier ones are void.
    pub void_revision: Revision,
}

/// A challenge that was used; kept until it has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpentChallenge {
    /// The challenge.
    pub id: ChallengeId,
    /// When it runs out, in milliseconds since 1970; then this record may go.
    pub until_ms: u64,
}

impl Default for QuorumValues {
    fn default() -> QuorumValues {
        QuorumValues {
            user: 1,
            quorum: 1,
            cluster: 1,
            generated_seconds: QUORUM_TOKEN_SECONDS_DEFAULT,
            approved_seconds: QUORUM_TOKEN_SECONDS_DEFAULT,
            void_revision: Revision(0),
        }
    }
}

impl QuorumValues {
    /// The value of a service of admins; 1 for the others.
    pub fn of(&self, service: QuorumService) -> u8 {
        match service {
            QuorumService::User => self.user,
            QuorumService::Quorum => self.quorum,
            QuorumService::Cluster => self.cluster,
            QuorumService::Registration | QuorumService::KeyUsage | QuorumService::KeyManagement => 1,
        }
    }

    /// The highest of the values.
    pub fn highest(&self) -> u8 {
        self.user.max(self.quorum).max(self.cluster)
    }

    /// How long a token is good, in milliseconds.
    pub(crate) fn token_ms(&self) -> u64 {
        u64::from(self.generated_seconds.min(self.approved_seconds)) * 1_000
    }
}

impl QuorumToken {
    /// Where the record lies: the token's id.
    pub fn path_of(id: TokenId) -> RecordPath {
        RecordPath { kind: RecordKind::QuorumToken, id: *id.as_bytes() }
    }
}

impl SpentChallenge {
    /// Where the record lies: the challenge's id.
    pub fn path_of(id: ChallengeId) -> RecordPath {
        RecordPath { kind: RecordKind::SpentChallenge, id: *id.as_bytes() }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct QuorumTokenMessage {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    user: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    login: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    credential: Vec<u8>,
    #[prost(uint32, tag = "5")]
    service: u32,
    #[prost(uint64, tag = "6")]
    key: u64,
    #[prost(uint64, tag = "7")]
    revision: u64,
    #[prost(uint64, tag = "8")]
    created_ms: u64,
    #[prost(uint64, tag = "9")]
    expires_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct QuorumValuesMessage {
    #[prost(uint32, tag = "1")]
    user: u32,
    #[prost(uint32, tag = "2")]
    quorum: u32,
    #[prost(uint32, tag = "3")]
    cluster: u32,
    #[prost(uint32, tag = "4")]
    generated_seconds: u32,
    #[prost(uint32, tag = "5")]
    approved_seconds: u32,
    #[prost(uint64, tag = "6")]
    void_revision: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SpentChallengeMessage {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    until_ms: u64,
}

pub(super) fn token_message(token: &QuorumToken) -> QuorumTokenMessage {
    QuorumTokenMessage {
        id: token.id.as_bytes().to_vec(),
        user: token.user.as_bytes().to_vec(),
        login: token.login.as_bytes().to_vec(),
        credential: token.credential.as_bytes().to_vec(),
        service: token.subject.service.number().into(),
        key: token.subject.key.map_or(0, KeyReference::as_u64),
        revision: token.revision.0,
        created_ms: token.created_ms,
        expires_ms: token.expires_ms,
    }
}

pub(super) fn token_of(message: &QuorumTokenMessage) -> Field<QuorumToken> {
    let service = QuorumService::from_number(message.service).ok_or("service")?;
    let key = KeyReference::from_u64(message.key);
    if key.is_some() != service.is_of_key() {
        return Err("key");
    }
    Ok(QuorumToken {
        id: TokenId::try_from(message.id.as_slice()).map_err(|_| "id")?,
        user: UserId::try_from(message.user.as_slice()).map_err(|_| "user")?,
        login: LoginId::try_from(message.login.as_slice()).map_err(|_| "login")?,
        credential: CredentialId::try_from(message.credential.as_slice()).map_err(|_| "credential")?,
        subject: QuorumSubject { service, key },
        revision: Revision(message.revision),
        created_ms: message.created_ms,
        expires_ms: message.expires_ms,
    })
}

pub(super) fn values_message(values: &QuorumValues) -> QuorumValuesMessage {
    QuorumValuesMessage {
        user: values.user.into(),
        quorum: values.quorum.into(),
        cluster: values.cluster.into(),
        generated_seconds: values.generated_seconds,
        approved_seconds: values.approved_seconds,
        void_revision: values.void_revision.0,
    }
}

pub(super) fn values_of(message: &QuorumValuesMessage) -> Field<QuorumValues> {
    let value = |number: u32, field| {
        u8::try_from(number).ok().filter(|value| (1..=QUORUM_VALUE_MAX).contains(value)).ok_or(field)
    };
    let seconds = |number: u32, field| {
        let fits = (QUORUM_TOKEN_SECONDS_MIN..=QUORUM_TOKEN_SECONDS_MAX).contains(&number);
        if fits { Ok(number) } else { Err(field) }
    };
    Ok(QuorumValues {
        user: value(message.user, "user")?,
        quorum: value(message.quorum, "quorum")?,
        cluster: value(message.cluster, "cluster")?,
        generated_seconds: seconds(message.generated_seconds, "generated_seconds")?,
        approved_seconds: seconds(message.approved_seconds, "approved_seconds")?,
        void_revision: Revision(message.void_revision),
    })
}

pub(super) fn spent_message(spent: &SpentChallenge) -> SpentChallengeMessage {
    SpentChallengeMessage { id: spent.id.as_bytes().to_vec(), until_ms: spent.until_ms }
}

pub(super) fn spent_of(message: &SpentChallengeMessage) -> Field<SpentChallenge> {
    let id = ChallengeId::try_from(message.id.as_slice()).map_err(|_| "id")?;
    Ok(SpentChallenge { id, until_ms: message.until_ms })
}

pub(super) fn token_key_message(key: &TokenKey) -> RsaMessage {
    RsaMessage { modulus: key.modulus().to_vec(), public_exponent: key.public_exponent().to_vec() }
}

pub(super) fn token_key_of(message: RsaMessage, field: &'static str) -> Field<TokenKey> {
    TokenKey::new(message.modulus, message.public_exponent).map_err(|_| field)
}
