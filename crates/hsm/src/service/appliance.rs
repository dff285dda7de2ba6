//! What the control plane asks, over the control socket.

use std::sync::atomic::Ordering;

use strongroom_core::permissions::{Operation, permit};
use strongroom_core::{Command, State};
use strongroom_crypto::certificates::{Anchors, Certificate, CertificateRequest};
use strongroom_crypto::pem;
use strongroom_types::{Refusal, Status};
use strongroom_wire::v1;
use strongroom_wire::v1::response::Result as Answer;

use super::{Asked, Service, Session};

impl Service {
    /// Also answered while the HSM does not serve clients, with the reason.
    pub(super) fn appliance_state(&self, session: &Session, asked: &Asked) -> Result<Answer, Refusal> {
        let state = self.cluster.state();
        permit(&state, &session.actor(), Operation::ApplianceState, asked.now_ms)?;
        let cluster = state.cluster().ok_or(Status::WrongClusterState)?;
        let serving = self.cluster.serving();
        Ok(Answer::ApplianceState(v1::ApplianceStateResult {
            cluster_id: cluster.id.as_str().to_owned(),
            hsm_id: self.cluster.hsm_id().as_str().to_owned(),
            cluster_state: cluster.state.as_str().to_owned(),
            serving: serving.is_ok(),
            reason: serving.err().or_else(|| self.cluster.hindrance()).map(|why| why.to_string()).unwrap_or_default(),
            applied_revision: state.revision().0,
            signatures: self.signatures.load(Ordering::Relaxed),
            connections: u32::try_from(self.connections.count()).unwrap_or(u32::MAX),
        }))
    }

    pub(super) fn appliance_csr(&self, session: &Session, asked: &Asked) -> Result<Answer, Refusal> {
        let actor = session.actor();
        let csr_pem = self.fresh(asked, |state| {
            permit(state, &actor, Operation::ApplianceCsr, asked.now_ms)?;
            let cluster = state.cluster().ok_or(Status::WrongClusterState)?;
            Ok(pem::encode(pem::CERTIFICATE_REQUEST, &cluster.csr_der))
        })?;
        Ok(Answer::ApplianceCsr(v1::ApplianceCsrResult { csr_pem }))
    }

    pub(super) fn appliance_install_certificate(
        &self,
        session: &Session,
        message: &v1::ApplianceInstallCertificate,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let now_s = asked.now_ms / 1_000;
        let command = match checked_certificate(&self.cluster.state(), message, now_s) {
            Ok(command) => command,
            Err(refusal) => {
                // Whoever may not install one, or has done it, is told that first.
                let actor = session.actor();
                let operation = Operation::ApplianceInstallCertificate;
                self.fresh(asked, |state| permit(state, &actor, operation, asked.now_ms).map(drop))?;
                return Err(refusal);
            }
        };
        self.change_only(session, asked, &command)?;
        self.log.info(format_args!("the cluster's certificate was installed by {session}"));
        Ok(Answer::ApplianceInstallCertificate(v1::Empty {}))
    }
}

/// A certificate of the cluster's key, for an HSM of this cluster, issued by the anchor and valid now.
fn checked_certificate(
    state: &State,
    message: &v1::ApplianceInstallCertificate,
    now_s: u64,
) -> Result<Command, Refusal> {
    let invalid = |about: String| Refusal::new(Status::CertificateInvalid, about);
    let cluster = state.cluster().ok_or(Status::WrongClusterState)?;
    let anchors = Anchors::from_pem(message.trust_anchor_pem.as_bytes(), now_s)
        .map_err(|error| invalid(format!("the trust anchor: {error}")))?;
    let certificate = Certificate::from_pem(message.certificate_pem.as_bytes())
        .map_err(|error| invalid(format!("the certificate: {error}")))?;
    let request = CertificateRequest::from_der(&cluster.csr_der)
        .map_err(|error| Refusal::new(Status::Internal, format!("the cluster's request: {error}")))?;
    if certificate.public_key().as_ref() != Ok(request.public_key()) {
        return Err(invalid(
            "the certificate is for another key than the cluster's; sign this cluster's request".into(),
        ));
    }
    if certificate.subject().hsm_cluster().as_ref() != Some(&cluster.id) {
        let subject = certificate.subject();
        return Err(invalid(format!("the subject {subject} is not the request's; sign without changing it")));
    }
    anchors
        .verify(certificate.der(), &[], now_s)
        .map_err(|error| invalid(format!("the trust anchor does not vouch for the certificate: {error}")))?;
    Ok(Command::InstallCertificate { certificate_pem: certificate.to_pem(), trust_anchor_pem: anchors.to_pem() })
}
