//! The messages of records. Field numbers and the meaning of numbers stand in `docs/spec/records.md`; never reuse one.
//!
//! Messages that carry a secret have no `Debug`.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ClusterMessage {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(uint32, tag = "2")]
    pub mode: u32,
    #[prost(uint32, tag = "3")]
    pub hsm_type: u32,
    #[prost(uint32, tag = "4")]
    pub state: u32,
    #[prost(bytes = "vec", tag = "5")]
    pub sealed_tls_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    pub csr_der: Vec<u8>,
    #[prost(string, tag = "7")]
    pub certificate_pem: String,
    #[prost(string, tag = "8")]
    pub trust_anchor_pem: String,
    #[prost(uint32, tag = "9")]
    pub lease_ms: u32,
    #[prost(uint32, tag = "10")]
    pub password_iterations: u32,
    #[prost(uint64, tag = "11")]
    pub epoch: u64,
    #[prost(uint64, tag = "12")]
    pub created_ms: u64,
    #[prost(message, optional, tag = "13")]
    pub capacity: Option<CapacityMessage>,
    #[prost(uint32, tag = "14")]
    pub mtls_enforcement: u32,
    #[prost(string, tag = "16")]
    pub origin_cluster: String,
    #[prost(uint64, tag = "17")]
    pub origin_epoch: u64,
    #[prost(uint64, tag = "18")]
    pub origin_revision: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CapacityMessage {
    #[prost(uint32, tag = "1")]
    pub keys_max: u32,
    #[prost(uint32, tag = "2")]
    pub asymmetric_keys_max: u32,
    #[prost(uint32, tag = "3")]
    pub users_max: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HistoryKeyMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub sealed: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HsmMessage {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub ip: String,
    #[prost(uint32, tag = "3")]
    pub port: u32,
    #[prost(string, tag = "4")]
    pub zone: String,
    #[prost(string, tag = "5")]
    pub serial: String,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct UserMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(uint32, tag = "3")]
    pub role: u32,
    #[prost(message, optional, tag = "4")]
    pub credential: Option<CredentialMessage>,
    #[prost(uint32, tag = "5")]
    pub failures: u32,
    #[prost(bool, tag = "6")]
    pub locked: bool,
    #[prost(uint64, tag = "7")]
    pub locked_until_ms: u64,
    #[prost(message, optional, tag = "8")]
    pub creation: Option<CreationMessage>,
    #[prost(uint64, tag = "9")]
    pub created_ms: u64,
    #[prost(message, optional, tag = "10")]
    pub mfa_key: Option<RsaMessage>,
    #[prost(message, optional, tag = "11")]
    pub quorum_key: Option<RsaMessage>,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct CredentialMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub salt: Vec<u8>,
    #[prost(uint32, tag = "3")]
    pub iterations: u32,
    #[prost(bytes = "vec", tag = "4")]
    pub hash: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AskerMessage {
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub user: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreationMessage {
    #[prost(message, optional, tag = "1")]
    pub asker: Option<AskerMessage>,
    #[prost(bytes = "vec", tag = "2")]
    pub request: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub digest: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyMessage {
    #[prost(uint64, tag = "1")]
    pub reference: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub owner: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub shared: Vec<Vec<u8>>,
    #[prost(uint32, tag = "4")]
    pub class: u32,
    #[prost(uint32, tag = "5")]
    pub key_type: u32,
    #[prost(string, tag = "6")]
    pub label: String,
    #[prost(bytes = "vec", tag = "7")]
    pub id: Vec<u8>,
    #[prost(bytes = "vec", tag = "8")]
    pub check_value: Vec<u8>,
    #[prost(uint32, tag = "9")]
    pub flags: u32,
    #[prost(uint32, tag = "10")]
    pub length_bytes: u32,
    #[prost(message, optional, tag = "11")]
    pub rsa: Option<RsaMessage>,
    #[prost(message, optional, tag = "12")]
    pub ec: Option<EcMessage>,
    #[prost(bytes = "vec", tag = "13")]
    pub sealed: Vec<u8>,
    #[prost(uint64, tag = "14")]
    pub key_epoch: u64,
    #[prost(message, optional, tag = "15")]
    pub creation: Option<CreationMessage>,
    #[prost(uint64, tag = "16")]
    pub created_ms: u64,
    #[prost(message, optional, tag = "19")]
    pub ml_dsa: Option<MlDsaMessage>,
    #[prost(uint32, tag = "17")]
    pub manage_quorum: u32,
    #[prost(uint32, tag = "18")]
    pub use_quorum: u32,
    #[prost(uint64, tag = "20")]
    pub uses_reserved: u64,
    #[prost(message, optional, tag = "21")]
    pub wrap_template: Option<TemplateMessage>,
    #[prost(message, optional, tag = "22")]
    pub unwrap_template: Option<TemplateMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TemplateMessage {
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<AttributeMessage>,
}

/// As the attributes of the wire, with the numbers of records.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AttributeMessage {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(oneof = "ValueMessage", tags = "2, 3, 4, 5, 6, 7, 8, 9")]
    pub value: Option<ValueMessage>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum ValueMessage {
    #[prost(bool, tag = "2")]
    Boolean(bool),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bytes = "vec", tag = "4")]
    Octets(Vec<u8>),
    #[prost(uint32, tag = "5")]
    Number(u32),
    #[prost(uint32, tag = "6")]
    Class(u32),
    #[prost(uint32, tag = "7")]
    KeyType(u32),
    #[prost(uint32, tag = "8")]
    Curve(u32),
    #[prost(uint32, tag = "9")]
    MlDsaAlgorithm(u32),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionKeyMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub login: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub credential: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub key: Option<KeyMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RsaMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub modulus: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub public_exponent: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EcMessage {
    #[prost(uint32, tag = "1")]
    pub curve: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub point: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MlDsaMessage {
    #[prost(uint32, tag = "1")]
    pub algorithm: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReceiptMessage {
    #[prost(message, optional, tag = "1")]
    pub asker: Option<AskerMessage>,
    #[prost(bytes = "vec", tag = "2")]
    pub request: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub digest: Vec<u8>,
    #[prost(uint32, tag = "4")]
    pub outcome: u32,
    #[prost(string, tag = "5")]
    pub user_name: String,
    #[prost(uint32, tag = "6")]
    pub user_role: u32,
    #[prost(bytes = "vec", tag = "7")]
    pub renewed: Vec<u8>,
    #[prost(uint32, tag = "8")]
    pub effect: u32,
    #[prost(uint64, tag = "9")]
    pub time_ms: u64,
    #[prost(bytes = "vec", tag = "10")]
    pub token: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EndedLoginMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub login: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub until_ms: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub user: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub credential: Vec<u8>,
}
