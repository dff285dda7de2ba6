use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use prost::Message;
use strongroom_types::limits::{
    CA_CHAIN_LEN_MAX, KEY_ID_LEN_MAX, KEY_USES_MAX, LABEL_LEN_MAX, RECORD_LEN_MAX, SHARED_USERS_MAX,
};
use strongroom_types::{
    Attributes, Capacity, CredentialId, Flags, KeyClass, KeyQuorum, KeyReference, KeyTemplates, KeyType, LoginId,
    PublicPart, RecordKind, RecordPath, RequestId, Revision, Secret, TokenId, UserId,
};
use thiserror::Error;

use crate::demands;

use super::certificate::{certificate_message, certificate_of};
use super::kinds::{
    Asker, Cluster, Creation, Credential, EndedLogin, HistoryKey, Hsm, Key, Lock, Origin, Outcome, Receipt, Record,
    Settings, User,
};
use super::messages::{
    AskerMessage, CapacityMessage, ClusterMessage, CreationMessage, CredentialMessage, EcMessage, EndedLoginMessage,
    HistoryKeyMessage, HsmMessage, KeyMessage, MlDsaMessage, ReceiptMessage, RsaMessage, UserMessage,
};

use super::numbers::{
    class_from_number, class_number, curve_from_number, curve_number, effect_from_number, effect_number,
    enforcement_from_number, enforcement_number, hsm_type_from_number, hsm_type_number, ml_dsa_from_number,
    ml_dsa_number, mode_from_number, mode_number, role_from_number, role_number, state_from_number, state_number,
    type_from_number, type_number,
};
use super::quorum::{
    spent_message, spent_of, token_key_message, token_key_of, token_message, token_of, values_message, values_of,
};
use super::rollback::{rollback_message, rollback_of};
use super::templates::{template_message, template_of};
use super::trust_anchor::{trust_anchor_message, trust_anchor_of};

pub(super) const VERSION: u8 = 1;
/// Bytes of an HSM's address, zone or serial number.
const HSM_TEXT_LEN_MAX: usize = 64;
/// Bytes of a CSR and of sealed key material: an RSA-4096 private key has 2,400.
const OCTETS_LEN_MAX: usize = 16 * 1024;
const PASSWORD_HASH_LEN: usize = 64;

/// Bytes that are no record of their path, though they were sealed as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CorruptRecord {
    /// Longer than a record may be, or empty.
    #[error("the record {0} is empty or too long")]
    Length(RecordPath),
    /// Of a format this version does not know.
    #[error("the record {path} has format version {version}, this version reads {VERSION}")]
    Version {
        /// The record.
        path: RecordPath,
        /// Its version.
        version: u8,
    },
    /// A kind that is not read here.
    #[error("the record {0} is not one of users, keys and the like")]
    Kind(RecordPath),
    /// Not a message, or not in canonical form: a field of a newer version, a field twice.
    #[error("the record {0} is not in its canonical form")]
    Form(RecordPath),
    /// A field out of its bounds, or fields that contradict each other or the path.
    #[error("the field {field} of the record {path} is not valid")]
    Field {
        /// The record.
        path: RecordPath,
        /// The field's name in `docs/spec/records.md`.
        field: &'static str,
    },
}

/// A field that is wrong; the path is added where it is known.
pub(super) type Field<T> = Result<T, &'static str>;

impl Record {
    /// The record's bytes in clear, to be sealed. Secret: a user's hold the password's hash.
    pub fn encode(&self) -> Secret {
        match self {
            Record::Cluster(cluster) => with_version(&cluster_message(cluster)),
            Record::Hsm(hsm) => with_version(&hsm_message(hsm)),
            Record::User(user) => {
                let mut message = user_message(user);
                let bytes = with_version(&message);
                wipe(&mut message);
                bytes
            }
            Record::Key(key) => with_version(&key_message(key)),
            Record::Receipt(receipt) => with_version(&receipt_message(receipt)),
            Record::EndedLogin(ended) => with_version(&EndedLoginMessage {
                login: ended.login.as_bytes().to_vec(),
                until_ms: ended.until_ms,
                user: ended.user.as_bytes().to_vec(),
                credential: ended.credential.as_bytes().to_vec(),
            }),
            Record::Rollback(rollback) => with_version(&rollback_message(rollback)),
            Record::TrustAnchor(anchor) => with_version(&trust_anchor_message(anchor)),
            Record::HistoryKey(key) => with_version(&HistoryKeyMessage { sealed: key.sealed.to_vec() }),
            Record::QuorumToken(token) => with_version(&token_message(token)),
            Record::QuorumValues(values) => with_version(&values_message(values)),
            Record::SpentChallenge(spent) => with_version(&spent_message(spent)),
            Record::Certificate(certificate) => with_version(&certificate_message(certificate)),
        }
    }

    /// Reads the record at `path`, which the batch of `revision` wrote, from its bytes in clear.
    pub fn decode(path: RecordPath, revision: Revision, bytes: &[u8]) -> Result<Record, CorruptRecord> {
        let (version, content) = bytes.split_first().ok_or(CorruptRecord::Length(path))?;
        if bytes.len() > RECORD_LEN_MAX {
            return Err(CorruptRecord::Length(path));
        }
        if *version != VERSION {
            return Err(CorruptRecord::Version { path, version: *version });
        }
        let record = match path.kind {
            RecordKind::ClusterKey | RecordKind::Head => return Err(CorruptRecord::Kind(path)),
            RecordKind::Cluster => message(path, content).map(|m| cluster_of(m).map(Record::Cluster))?,
            RecordKind::Hsm => message(path, content).map(|m| hsm_of(m).map(Record::Hsm))?,
            RecordKind::User => message(path, content).map(|m| user_of(m).map(Record::User))?,
            RecordKind::Key => message(path, content).map(|m| key_of(m, revision).map(Record::Key))?,
            RecordKind::Receipt => message(path, content).map(|m| receipt_of(m).map(Record::Receipt))?,
            RecordKind::EndedLogin => message(path, content).map(|m| ended_login_of(&m).map(Record::EndedLogin))?,
            RecordKind::Rollback => message(path, content).map(|m| rollback_of(m).map(Record::Rollback))?,
            RecordKind::TrustAnchor => message(path, content).map(|m| trust_anchor_of(m).map(Record::TrustAnchor))?,
            RecordKind::HistoryKey => message(path, content).map(|m| history_key_of(m).map(Record::HistoryKey))?,
            RecordKind::QuorumToken => message(path, content).map(|m| token_of(&m).map(Record::QuorumToken))?,
            RecordKind::QuorumValues => message(path, content).map(|m| values_of(&m).map(Record::QuorumValues))?,
            RecordKind::SpentChallenge => message(path, content).map(|m| spent_of(&m).map(Record::SpentChallenge))?,
            RecordKind::Certificate => message(path, content).map(|m| certificate_of(m).map(Record::Certificate))?,
        };
        let record = record.map_err(|field| CorruptRecord::Field { path, field })?;
        if record.path() != path {
            return Err(CorruptRecord::Field { path, field: "id" });
        }
        if record.encode().expose() == bytes { Ok(record) } else { Err(CorruptRecord::Form(path)) }
    }
}

fn message<M: Message + Default>(path: RecordPath, content: &[u8]) -> Result<M, CorruptRecord> {
    M::decode(content).map_err(|_| CorruptRecord::Form(path))
}

pub(super) fn with_version(message: &impl Message) -> Secret {
    let mut bytes = Vec::with_capacity(1 + message.encoded_len());
    bytes.push(VERSION);
    message.encode(&mut bytes).expect("a Vec grows as needed");
    Secret::new(bytes)
}

/// Hands the hash to a [`Secret`], which wipes it.
fn wipe(message: &mut UserMessage) {
    if let Some(credential) = &mut message.credential {
        drop(Secret::new(mem::take(&mut credential.hash)));
    }
}

fn cluster_message(cluster: &Cluster) -> ClusterMessage {
    ClusterMessage {
        id: cluster.id.as_str().to_owned(),
        mode: mode_number(cluster.mode),
        hsm_type: hsm_type_number(cluster.hsm_type),
        state: state_number(cluster.state),
        sealed_tls_key: cluster.sealed_tls_key.to_vec(),
        csr_der: cluster.csr_der.clone(),
        certificate_pem: cluster.certificate_pem.clone(),
        trust_anchor_pem: cluster.trust_anchor_pem.clone(),
        lease_ms: cluster.settings.lease_ms,
        password_iterations: cluster.settings.password_iterations,
        epoch: cluster.epoch,
        created_ms: cluster.created_ms,
        capacity: cluster.capacity.map(capacity_message),
        mtls_enforcement: enforcement_number(cluster.mtls_enforcement),
        origin_cluster: cluster.origin.as_ref().map(|origin| origin.cluster.as_str().to_owned()).unwrap_or_default(),
        origin_epoch: cluster.origin.as_ref().map_or(0, |origin| origin.epoch),
        origin_revision: cluster.origin.as_ref().map_or(0, |origin| origin.revision.0),
    }
}

fn capacity_message(capacity: Capacity) -> CapacityMessage {
    // Beyond what a number of the record can say, nothing is ever held.
    let number = |max: usize| u32::try_from(max).unwrap_or(u32::MAX);
    CapacityMessage {
        keys_max: number(capacity.keys_max),
        asymmetric_keys_max: number(capacity.asymmetric_keys_max),
        users_max: number(capacity.users_max),
    }
}

fn capacity_of(message: &CapacityMessage) -> Field<Capacity> {
    let number = |max: u32, field| usize::try_from(max).map_err(|_| field);
    let users_max = number(message.users_max, "users_max")?;
    // A share list holds every user.
    if users_max == 0 || users_max > SHARED_USERS_MAX {
        return Err("users_max");
    }
    Ok(Capacity {
        keys_max: number(message.keys_max, "keys_max")?,
        asymmetric_keys_max: number(message.asymmetric_keys_max, "asymmetric_keys_max")?,
        users_max,
    })
}

fn cluster_of(message: ClusterMessage) -> Field<Cluster> {
    use strongroom_types::ClusterState::Uninitialized;
    let state = state_from_number(message.state).ok_or("state")?;
    let certified = state != Uninitialized;
    let pem = |text: String, field| {
        let fits = text.is_empty() != certified && text.len() <= CA_CHAIN_LEN_MAX;
        if fits { Ok(text) } else { Err(field) }
    };
    Ok(Cluster {
        id: message.id.parse().map_err(|_| "id")?,
        mode: mode_from_number(message.mode).ok_or("mode")?,
        hsm_type: hsm_type_from_number(message.hsm_type).ok_or("hsm_type")?,
        state,
        sealed_tls_key: octets(message.sealed_tls_key, "sealed_tls_key")?.into(),
        csr_der: octets(message.csr_der, "csr_der")?,
        certificate_pem: pem(message.certificate_pem, "certificate_pem")?,
        trust_anchor_pem: pem(message.trust_anchor_pem, "trust_anchor_pem")?,
        settings: Settings {
            lease_ms: not_zero(message.lease_ms, "lease_ms")?,
            password_iterations: not_zero(message.password_iterations, "password_iterations")?,
        },
        capacity: message.capacity.as_ref().map(capacity_of).transpose()?,
        epoch: if message.epoch == 0 { return Err("epoch") } else { message.epoch },
        created_ms: message.created_ms,
        mtls_enforcement: enforcement_from_number(message.mtls_enforcement).ok_or("mtls_enforcement")?,
        origin: origin_of(&message.origin_cluster, message.origin_epoch, message.origin_revision)?,
    })
}

fn origin_of(cluster: &str, epoch: u64, revision: u64) -> Field<Option<Origin>> {
    match (cluster, epoch, revision) {
        ("", 0, 0) => Ok(None),
        (_, 0, _) => Err("origin_epoch"),
        (_, _, 0) => Err("origin_revision"),
        (cluster, epoch, revision) => {
            let cluster = cluster.parse().map_err(|_| "origin_cluster")?;
            Ok(Some(Origin { cluster, epoch, revision: Revision(revision) }))
        }
    }
}

fn history_key_of(message: HistoryKeyMessage) -> Field<HistoryKey> {
    Ok(HistoryKey { sealed: octets(message.sealed, "sealed")?.into() })
}

fn hsm_message(hsm: &Hsm) -> HsmMessage {
    HsmMessage {
        id: hsm.id.as_str().to_owned(),
        ip: hsm.ip.clone(),
        port: u32::from(hsm.port),
        zone: hsm.zone.clone(),
        serial: hsm.serial.clone(),
    }
}

fn hsm_of(message: HsmMessage) -> Field<Hsm> {
    let hsm = Hsm {
        id: message.id.parse().map_err(|_| "id")?,
        ip: message.ip,
        port: u16::try_from(message.port).map_err(|_| "port")?,
        zone: message.zone,
        serial: message.serial,
    };
    hsm.check().map(|()| hsm)
}

impl Hsm {
    /// Names the field that is out of its bounds.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let texts = [(&self.ip, "ip"), (&self.zone, "zone"), (&self.serial, "serial")];
        if let Some((_, field)) = texts.into_iter().find(|(text, _)| text.len() > HSM_TEXT_LEN_MAX) {
            return Err(field);
        }
        if self.ip.parse::<std::net::IpAddr>().is_err() {
            return Err("ip");
        }
        if self.port == 0 { Err("port") } else { Ok(()) }
    }
}

fn user_message(user: &User) -> UserMessage {
    let (locked, locked_until_ms) = match user.lock {
        Lock::Open => (false, 0),
        Lock::Locked => (true, 0),
        Lock::Until(until_ms) => (true, until_ms),
    };
    UserMessage {
        id: user.id.as_bytes().to_vec(),
        name: user.name.as_str().to_owned(),
        role: role_number(user.role),
        credential: user.credential.as_ref().map(|credential| CredentialMessage {
            id: credential.id.as_bytes().to_vec(),
            salt: credential.salt.to_vec(),
            iterations: credential.iterations,
            hash: credential.hash.expose().to_vec(),
        }),
        failures: user.failures,
        locked,
        locked_until_ms,
        creation: user.creation.as_ref().map(creation_message),
        created_ms: user.created_ms,
        mfa_key: user.mfa_key.as_ref().map(token_key_message),
        quorum_key: user.quorum_key.as_ref().map(token_key_message),
    }
}

fn user_of(mut message: UserMessage) -> Field<User> {
    use strongroom_types::Role::{Admin, CryptoUser};
    let credential = message.credential.take().map(credential_of).transpose()?;
    let role = role_from_number(message.role).ok_or("role")?;
    if credential.is_some() != matches!(role, Admin | CryptoUser) {
        return Err("credential");
    }
    if credential.is_none() && (message.mfa_key.is_some() || message.quorum_key.is_some()) {
        return Err("mfa_key");
    }
    let lock = match (message.locked, message.locked_until_ms) {
        (false, 0) => Lock::Open,
        (false, _) => return Err("locked_until_ms"),
        (true, 0) => Lock::Locked,
        (true, until_ms) => Lock::Until(until_ms),
    };
    Ok(User {
        id: UserId::try_from(message.id.as_slice()).map_err(|_| "id")?,
        name: message.name.parse().map_err(|_| "name")?,
        role,
        credential,
        failures: message.failures,
        lock,
        creation: message.creation.map(|creation| creation_of(&creation)).transpose()?,
        created_ms: message.created_ms,
        mfa_key: message.mfa_key.map(|key| token_key_of(key, "mfa_key")).transpose()?,
        quorum_key: message.quorum_key.map(|key| token_key_of(key, "quorum_key")).transpose()?,
    })
}

fn credential_of(message: CredentialMessage) -> Field<Credential> {
    let hash = Secret::new(message.hash);
    let credential = Credential {
        id: CredentialId::try_from(message.id.as_slice()).map_err(|_| "credential.id")?,
        salt: message.salt.as_slice().try_into().map_err(|_| "credential.salt")?,
        iterations: not_zero(message.iterations, "credential.iterations")?,
        hash,
    };
    if credential.hash.len() == PASSWORD_HASH_LEN { Ok(credential) } else { Err("credential.hash") }
}

fn asker_message(asker: Asker) -> AskerMessage {
    let (kind, user) = match asker {
        Asker::Hsm => (1, Vec::new()),
        Asker::Appliance => (2, Vec::new()),
        Asker::Anonymous => (3, Vec::new()),
        Asker::User(user) => (4, user.as_bytes().to_vec()),
    };
    AskerMessage { kind, user }
}

fn asker_of(message: Option<AskerMessage>) -> Field<Asker> {
    let message = message.ok_or("asker")?;
    match (message.kind, message.user.as_slice()) {
        (1, []) => Ok(Asker::Hsm),
        (2, []) => Ok(Asker::Appliance),
        (3, []) => Ok(Asker::Anonymous),
        (4, user) => UserId::try_from(user).map(Asker::User).map_err(|_| "asker.user"),
        _ => Err("asker"),
    }
}

pub(super) fn creation_message(creation: &Creation) -> CreationMessage {
    CreationMessage {
        asker: Some(asker_message(creation.asker)),
        request: creation.request.as_bytes().to_vec(),
        digest: creation.digest.to_vec(),
    }
}

pub(super) fn creation_of(message: &CreationMessage) -> Field<Creation> {
    Ok(Creation {
        asker: asker_of(message.asker.clone())?,
        request: RequestId::try_from(message.request.as_slice()).map_err(|_| "creation.request")?,
        digest: message.digest.as_slice().try_into().map_err(|_| "creation.digest")?,
    })
}

fn key_message(key: &Key) -> KeyMessage {
    KeyMessage {
        reference: key.reference.as_u64(),
        owner: key.owner.as_bytes().to_vec(),
        shared: key.shared.iter().map(|user| user.as_bytes().to_vec()).collect(),
        sealed: key.sealed.as_ref().map(|sealed| sealed.to_vec()).unwrap_or_default(),
        key_epoch: key.key_epoch,
        creation: Some(creation_message(&key.creation)),
        created_ms: key.created_ms,
        manage_quorum: key.quorum.manage.into(),
        use_quorum: key.quorum.usage.into(),
        uses_reserved: key.uses_reserved,
        ..attributes_message(&key.attributes)
    }
}

/// A message with nothing but these attributes.
pub(super) fn attributes_message(attributes: &Attributes) -> KeyMessage {
    let public = match &attributes.public {
        None => KeyMessage::default(),
        Some(PublicPart::Rsa { modulus, public_exponent }) => {
            let rsa = RsaMessage { modulus: modulus.clone(), public_exponent: public_exponent.clone() };
            KeyMessage { rsa: Some(rsa), ..KeyMessage::default() }
        }
        Some(PublicPart::Ec { curve, point }) => {
            let ec = EcMessage { curve: curve_number(*curve), point: point.clone() };
            KeyMessage { ec: Some(ec), ..KeyMessage::default() }
        }
        Some(PublicPart::MlDsa { algorithm, key }) => {
            let ml_dsa = MlDsaMessage { algorithm: ml_dsa_number(*algorithm), key: key.clone() };
            KeyMessage { ml_dsa: Some(ml_dsa), ..KeyMessage::default() }
        }
    };
    KeyMessage {
        class: class_number(attributes.class),
        key_type: type_number(attributes.key_type),
        label: attributes.label.clone(),
        id: attributes.id.clone(),
        check_value: attributes.check_value.map(|value| value.to_vec()).unwrap_or_default(),
        flags: attributes.flags.bits(),
        length_bytes: attributes.length_bytes,
        wrap_template: template_message(attributes.templates.wrap.as_deref()),
        unwrap_template: template_message(attributes.templates.unwrap.as_deref()),
        ..public
    }
}

fn key_of(message: KeyMessage, revision: Revision) -> Field<Key> {
    let owner = UserId::try_from(message.owner.as_slice()).map_err(|_| "owner")?;
    if message.shared.len() > SHARED_USERS_MAX {
        return Err("shared");
    }
    let shared = message.shared.iter().map(|id| UserId::try_from(id.as_slice()).map_err(|_| "shared"));
    let shared = shared.collect::<Field<BTreeSet<UserId>>>()?;
    let sealed = sealed_of(&message)?;
    let quorum = KeyQuorum::from_numbers(message.manage_quorum, message.use_quorum).ok_or("manage_quorum")?;
    if sealed.is_none() && quorum != KeyQuorum::NONE {
        return Err("manage_quorum");
    }
    let uses_reserved = uses_of(&message)?;
    Ok(Key {
        reference: KeyReference::from_u64(message.reference).ok_or("reference")?,
        revision,
        owner,
        shared,
        sealed,
        key_epoch: message.key_epoch,
        creation: creation_of(message.creation.as_ref().ok_or("creation")?)?,
        created_ms: message.created_ms,
        quorum,
        uses_reserved,
        attributes: attributes_of(message)?,
    })
}

/// Uses by GCM, which are counted of AES keys alone.
pub(super) fn uses_of(message: &KeyMessage) -> Field<u64> {
    let counts = type_from_number(message.key_type) == Some(KeyType::Aes);
    let max = if counts { KEY_USES_MAX } else { 0 };
    if message.uses_reserved <= max { Ok(message.uses_reserved) } else { Err("uses_reserved") }
}

/// The sealed material, which public keys alone do not have.
pub(super) fn sealed_of(message: &KeyMessage) -> Field<Option<Arc<[u8]>>> {
    match (class_from_number(message.class), message.sealed.is_empty()) {
        (Some(KeyClass::PublicKey), true) => Ok(None),
        (Some(KeyClass::PrivateKey | KeyClass::SecretKey), false) => {
            Ok(Some(octets(message.sealed.clone(), "sealed")?.into()))
        }
        _ => Err("sealed"),
    }
}

pub(super) fn attributes_of(message: KeyMessage) -> Field<Attributes> {
    let class = class_from_number(message.class).ok_or("class")?;
    let key_type = type_from_number(message.key_type).ok_or("key_type")?;
    let public = public_of(message.rsa, message.ec, message.ml_dsa)?;
    let attributes = Attributes {
        class,
        key_type,
        label: if message.label.len() <= LABEL_LEN_MAX { message.label } else { return Err("label") },
        id: if message.id.len() <= KEY_ID_LEN_MAX { message.id } else { return Err("id") },
        check_value: match message.check_value.as_slice() {
            [] => None,
            value => Some(value.try_into().map_err(|_| "check_value")?),
        },
        flags: Flags::from_bits(message.flags).ok_or("flags")?,
        length_bytes: message.length_bytes,
        public,
        templates: KeyTemplates {
            wrap: template_of(message.wrap_template, "wrap_template")?,
            unwrap: template_of(message.unwrap_template, "unwrap_template")?,
        },
    };
    if !demands::may_have(class, key_type, &attributes.templates) {
        return Err("wrap_template");
    }
    if attributes.are_of_one_kind() { Ok(attributes) } else { Err("key_type") }
}

fn public_of(
    rsa: Option<RsaMessage>,
    ec: Option<EcMessage>,
    ml_dsa: Option<MlDsaMessage>,
) -> Field<Option<PublicPart>> {
    let number = |bytes: Vec<u8>, len_max, field| {
        let fits = bytes.first().is_some_and(|first| *first != 0) && bytes.len() <= len_max;
        if fits { Ok(bytes) } else { Err(field) }
    };
    match (rsa, ec, ml_dsa) {
        (None, None, None) => Ok(None),
        (Some(rsa), None, None) => Ok(Some(PublicPart::Rsa {
            modulus: number(rsa.modulus, 512, "rsa.modulus")?,
            public_exponent: number(rsa.public_exponent, 512, "rsa.public_exponent")?,
        })),
        (None, Some(ec), None) => {
            let curve = curve_from_number(ec.curve).ok_or("ec.curve")?;
            if curve.has_form_of_point(&ec.point) {
                Ok(Some(PublicPart::Ec { curve, point: ec.point }))
            } else {
                Err("ec.point")
            }
        }
        (None, None, Some(ml_dsa)) => {
            let algorithm = ml_dsa_from_number(ml_dsa.algorithm).ok_or("ml_dsa.algorithm")?;
            let fits = ml_dsa.key.len() == algorithm.public_len();
            if fits { Ok(Some(PublicPart::MlDsa { algorithm, key: ml_dsa.key })) } else { Err("ml_dsa.key") }
        }
        (Some(_), Some(_), _) => Err("ec"),
        _ => Err("ml_dsa"),
    }
}

fn receipt_message(receipt: &Receipt) -> ReceiptMessage {
    let (outcome, user) = match &receipt.outcome {
        Outcome::Done => (1, None),
        Outcome::User { name, role, renewed } => (2, Some((name, role, renewed))),
        Outcome::KeyGone => (3, None),
        Outcome::UserGone => (4, None),
        Outcome::TrustAnchorGone => (5, None),
        Outcome::Token(_) => (6, None),
        Outcome::CertificateGone => (7, None),
    };
    ReceiptMessage {
        asker: Some(asker_message(receipt.asker)),
        request: receipt.request.as_bytes().to_vec(),
        digest: receipt.digest.to_vec(),
        outcome,
        user_name: user.map(|(name, _, _)| name.as_str().to_owned()).unwrap_or_default(),
        user_role: user.map_or(0, |(_, role, _)| role_number(*role)),
        renewed: user.and_then(|(_, _, renewed)| *renewed).map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        effect: effect_number(receipt.effect),
        time_ms: receipt.time_ms,
        token: match &receipt.outcome {
            Outcome::Token(token) => token.as_bytes().to_vec(),
            _ => Vec::new(),
        },
    }
}

fn receipt_of(message: ReceiptMessage) -> Field<Receipt> {
    let outcome = match message.outcome {
        1 => Outcome::Done,
        2 => Outcome::User {
            name: message.user_name.parse().map_err(|_| "user_name")?,
            role: role_from_number(message.user_role).ok_or("user_role")?,
            renewed: match message.renewed.as_slice() {
                [] => None,
                id => Some(CredentialId::try_from(id).map_err(|_| "renewed")?),
            },
        },
        3 => Outcome::KeyGone,
        4 => Outcome::UserGone,
        5 => Outcome::TrustAnchorGone,
        6 => Outcome::Token(TokenId::try_from(message.token.as_slice()).map_err(|_| "token")?),
        7 => Outcome::CertificateGone,
        _ => return Err("outcome"),
    };
    Ok(Receipt {
        asker: asker_of(message.asker)?,
        request: RequestId::try_from(message.request.as_slice()).map_err(|_| "request")?,
        digest: message.digest.as_slice().try_into().map_err(|_| "digest")?,
        outcome,
        effect: effect_from_number(message.effect).ok_or("effect")?,
        time_ms: message.time_ms,
    })
}

fn ended_login_of(message: &EndedLoginMessage) -> Field<EndedLogin> {
    Ok(EndedLogin {
        login: LoginId::try_from(message.login.as_slice()).map_err(|_| "login")?,
        user: UserId::try_from(message.user.as_slice()).map_err(|_| "user")?,
        credential: CredentialId::try_from(message.credential.as_slice()).map_err(|_| "credential")?,
        until_ms: message.until_ms,
    })
}

fn octets(bytes: Vec<u8>, field: &'static str) -> Field<Vec<u8>> {
    if bytes.is_empty() || bytes.len() > OCTETS_LEN_MAX { Err(field) } else { Ok(bytes) }
}

fn not_zero(number: u32, field: &'static str) -> Field<u32> {
    if number == 0 { Err(field) } else { Ok(number) }
}
