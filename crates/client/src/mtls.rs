//! Mutual TLS: the cluster's trust anchors of clients' certificates, and who may connect.

use strongroom_types::{MtlsEnforcement, TrustAnchorReference};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{Malformed, convert, v1};

use crate::client::Client;
use crate::error::ClientError;
use crate::manner;

/// A trust anchor of clients' certificates, as everybody may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchorInfo {
    /// Its number.
    pub reference: TrustAnchorReference,
    /// The anchor, then those that vouch for it, PEM.
    pub chain_pem: String,
}

impl TryFrom<v1::TrustAnchor> for TrustAnchorInfo {
    type Error = Malformed;

    fn try_from(message: v1::TrustAnchor) -> Result<TrustAnchorInfo, Malformed> {
        let reference = TrustAnchorReference::from_u32(message.reference).ok_or(Malformed { field: "reference" })?;
        Ok(TrustAnchorInfo { reference, chain_pem: message.chain_pem })
    }
}

impl Client {
    /// Registers a CA: when this returns, every HSM takes clients with certificates under it.
    pub fn mtls_register_trust_anchor(&self, chain_pem: &[u8]) -> Result<TrustAnchorInfo, ClientError> {
        let message = v1::MtlsRegisterTrustAnchor { chain_pem: chain_pem.to_vec() };
        let answered = self.call(&manner::MANAGEMENT, Operation::MtlsRegisterTrustAnchor(message))?;
        answered.read(|answer| match answer {
            Answer::MtlsRegisterTrustAnchor(anchor) => Some(anchor.try_into()),
            _ => None,
        })
    }

    /// Deregisters one: when this returns, no connection stands that came with a certificate under it.
    pub fn mtls_deregister_trust_anchor(&self, reference: TrustAnchorReference) -> Result<(), ClientError> {
        let message = v1::MtlsDeregisterTrustAnchor { reference: reference.as_u8().into() };
        let answered = self.call(&manner::MANAGEMENT, Operation::MtlsDeregisterTrustAnchor(message))?;
        answered.read(|answer| matches!(answer, Answer::MtlsDeregisterTrustAnchor(_)).then_some(Ok(())))
    }

    /// Every trust anchor. Needs no login.
    pub fn mtls_trust_anchors(&self) -> Result<Vec<TrustAnchorInfo>, ClientError> {
        let operation = Operation::MtlsListTrustAnchors(v1::MtlsListTrustAnchors {});
        self.call(&manner::PUBLIC_QUERY, operation)?.read(|answer| match answer {
            Answer::MtlsListTrustAnchors(list) => {
                Some(list.trust_anchors.into_iter().map(TrustAnchorInfo::try_from).collect())
            }
            _ => None,
        })
    }

    /// Who may connect.
    pub fn mtls_enforcement(&self) -> Result<MtlsEnforcement, ClientError> {
        let operation = Operation::MtlsGetEnforcement(v1::MtlsGetEnforcement {});
        self.call(&manner::QUERY, operation)?.read(|answer| match answer {
            Answer::MtlsGetEnforcement(result) => Some(convert::enforcement(result.level)),
            _ => None,
        })
    }

    /// Says who may connect: when this returns, no other connection stands.
    pub fn mtls_set_enforcement(&self, level: MtlsEnforcement) -> Result<(), ClientError> {
        let message = v1::MtlsSetEnforcement { level: v1::MtlsEnforcement::from(level).into() };
        let answered = self.call(&manner::MANAGEMENT, Operation::MtlsSetEnforcement(message))?;
        answered.read(|answer| matches!(answer, Answer::MtlsSetEnforcement(_)).then_some(Ok(())))
    }
}
