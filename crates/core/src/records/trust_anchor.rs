use prost::Message;
use strongroom_types::limits::TRUST_ANCHOR_LEN_MAX;
use strongroom_types::{CertificateFingerprint, RecordKind, RecordPath, TrustAnchorReference};

use super::codec::{Field, creation_message, creation_of};
use super::kinds::Creation;
use super::messages::CreationMessage;

/// Bytes of a chain as it is kept: lines of 64 characters may make it longer than the file that it came in.
const CHAIN_LEN_MAX: usize = TRUST_ANCHOR_LEN_MAX + TRUST_ANCHOR_LEN_MAX / 16;

/// A CA whose certificates let clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchor {
    /// Its number, from 1; given again when it is gone.
    pub reference: TrustAnchorReference,
    /// Of the chain's first certificate, which is the anchor: connections remember it.
    pub fingerprint: CertificateFingerprint,
    /// The anchor, then those that vouch for it up to a root, PEM.
    pub chain_pem: String,
    /// How it came to be.
    pub creation: Creation,
    /// Milliseconds since 1970.
    pub created_ms: u64,
}

impl TrustAnchor {
    /// Where the record lies: fifteen zero bytes, then the reference.
    pub fn path_of(reference: TrustAnchorReference) -> RecordPath {
        RecordPath { kind: RecordKind::TrustAnchor, id: u128::from(reference.as_u8()).to_be_bytes() }
    }

    /// The reference in a path that [`TrustAnchor::path_of`] made.
    pub fn reference_of(path: RecordPath) -> Option<TrustAnchorReference> {
        u32::try_from(u128::from_be_bytes(path.id)).ok().and_then(TrustAnchorReference::from_u32)
    }

    /// Whether a chain is as long as one may be.
    pub(crate) fn fits(chain_pem: &str) -> bool {
        !chain_pem.is_empty() && chain_pem.len() <= CHAIN_LEN_MAX
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrustAnchorMessage {
    #[prost(uint32, tag = "1")]
    reference: u32,
    #[prost(bytes = "vec", tag = "2")]
    fingerprint: Vec<u8>,
    #[prost(string, tag = "3")]
    chain_pem: String,
    #[prost(message, optional, tag = "4")]
    creation: Option<CreationMessage>,
    #[prost(uint64, tag = "5")]
    created_ms: u64,
}

pub(super) fn trust_anchor_message(anchor: &TrustAnchor) -> TrustAnchorMessage {
    TrustAnchorMessage {
        reference: anchor.reference.as_u8().into(),
        fingerprint: anchor.fingerprint.0.to_vec(),
        chain_pem: anchor.chain_pem.clone(),
        creation: Some(creation_message(&anchor.creation)),
        created_ms: anchor.created_ms,
    }
}

pub(super) fn trust_anchor_of(message: TrustAnchorMessage) -> Field<TrustAnchor> {
    Ok(TrustAnchor {
        reference: TrustAnchorReference::from_u32(message.reference).ok_or("reference")?,
        fingerprint: CertificateFingerprint(message.fingerprint.as_slice().try_into().map_err(|_| "fingerprint")?),
        chain_pem: Some(message.chain_pem).filter(|chain| TrustAnchor::fits(chain)).ok_or("chain_pem")?,
        creation: creation_of(message.creation.as_ref().ok_or("creation")?)?,
        created_ms: message.created_ms,
    })
}
