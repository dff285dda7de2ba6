//! Trust anchors of clients' certificates, and who may connect.

use strongroom_core::permissions::Operation;
use strongroom_core::{Command, Reply, TrustAnchor, enforcement, list_trust_anchors};
use strongroom_crypto::certificates::ClientAnchor;
use strongroom_types::{MtlsEnforcement, Refusal, Status, TrustAnchorReference};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{convert, v1};

use super::changes::internal;
use super::{Asked, Service, Session};

impl Service {
    pub(super) fn mtls_register_trust_anchor(
        &self,
        session: &Session,
        message: &v1::MtlsRegisterTrustAnchor,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        self.permitted(session, Operation::MtlsRegisterTrustAnchor, asked)?;
        let anchor = ClientAnchor::from_pem(&message.chain_pem, asked.now_ms / 1_000)
            .map_err(|error| Refusal::new(Status::TrustAnchorInvalid, error.to_string()))?;
        let command = Command::RegisterTrustAnchor { chain_pem: anchor.to_pem(), fingerprint: anchor.fingerprint() };
        let Reply::TrustAnchor(registered) = self.change_only(session, asked, &command)? else {
            return Err(internal("reply"));
        };
        let (reference, subject) = (registered.reference, anchor.certificate().subject());
        self.log.info(format_args!("the trust anchor {reference} ({subject}) was registered by {session}"));
        Ok(Answer::MtlsRegisterTrustAnchor(message_of(&registered)))
    }

    pub(super) fn mtls_deregister_trust_anchor(
        &self,
        session: &Session,
        message: &v1::MtlsDeregisterTrustAnchor,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let reference = TrustAnchorReference::from_u32(message.reference);
        let reference =
            reference.ok_or_else(|| Refusal::new(Status::TrustAnchorUnknown, message.reference.to_string()))?;
        self.change_only(session, asked, &Command::DeregisterTrustAnchor(reference))?;
        self.log.info(format_args!("the trust anchor {reference} was deregistered by {session}"));
        Ok(Answer::MtlsDeregisterTrustAnchor(v1::Empty {}))
    }

    pub(super) fn mtls_list_trust_anchors(&self, session: &Session, asked: &Asked) -> Result<Answer, Refusal> {
        self.freshen_for_list(asked)?;
        let anchors = list_trust_anchors(&self.cluster.state(), &session.actor(), asked.now_ms)?;
        let trust_anchors = anchors.iter().map(|anchor| message_of(anchor)).collect();
        Ok(Answer::MtlsListTrustAnchors(v1::MtlsListTrustAnchorsResult { trust_anchors }))
    }

    pub(super) fn mtls_get_enforcement(&self, session: &Session, asked: &Asked) -> Result<Answer, Refusal> {
        self.freshen_for_list(asked)?;
        let level = enforcement(&self.cluster.state(), &session.actor(), asked.now_ms)?;
        let level = v1::MtlsEnforcement::from(level).into();
        Ok(Answer::MtlsGetEnforcement(v1::MtlsGetEnforcementResult { level }))
    }

    pub(super) fn mtls_set_enforcement(
        &self,
        session: &Session,
        message: &v1::MtlsSetEnforcement,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let level = convert::enforcement(message.level)?;
        self.change_only(session, asked, &Command::SetEnforcement(level))?;
        self.log.info(format_args!(
            "{session} set {}",
            match level {
                MtlsEnforcement::Cluster => "that clients need a certificate under a trust anchor",
                MtlsEnforcement::None => "that clients need no certificate",
            }
        ));
        Ok(Answer::MtlsSetEnforcement(v1::Empty {}))
    }
}

fn message_of(anchor: &TrustAnchor) -> v1::TrustAnchor {
    v1::TrustAnchor { reference: anchor.reference.as_u8().into(), chain_pem: anchor.chain_pem.clone() }
}
