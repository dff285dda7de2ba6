use serde_json::{Value, json};
use strongroom_types::limits::CA_CHAIN_LEN_MAX;
use strongroom_types::{ClusterId, MtlsEnforcement};

use super::Outcome;
use super::quorum::approved;
use crate::arguments::Mtls;
use crate::session::{Need, Session};
use crate::{files, output};

/// Bytes of a file that is sent: what is longer than a trust anchor may be is for the HSM to refuse, as far as it goes.
const ANCHOR_LEN_MAX: u64 = CA_CHAIN_LEN_MAX as u64;

/// `cluster mtls …`.
pub fn run(session: &mut Session, cluster: Option<&ClusterId>, command: Mtls) -> Outcome {
    match command {
        Mtls::RegisterTrustAnchor { path, approval } => {
            let client = approved(&session.client(cluster, Need::Login)?, &approval)?;
            let anchor = client.mtls_register_trust_anchor(&files::read(&path, ANCHOR_LEN_MAX)?)?;
            Ok(json!({ "trust_anchor": output::trust_anchor(&anchor) }))
        }
        Mtls::ListTrustAnchors => {
            let anchors = session.client(cluster, Need::Nothing)?.mtls_trust_anchors()?;
            Ok(json!({ "trust_anchors": anchors.iter().map(output::trust_anchor).collect::<Vec<Value>>() }))
        }
        Mtls::DeregisterTrustAnchor { certificate_reference: reference, approval } => {
            approved(&session.client(cluster, Need::Login)?, &approval)?.mtls_deregister_trust_anchor(reference)?;
            Ok(output::message(&format!("Trust anchor with reference {reference} deregistered successfully")))
        }
        Mtls::GetEnforcement => {
            let level = session.client(cluster, Need::Login)?.mtls_enforcement()?;
            Ok(json!({ "mtls-enforcement-level": level.as_str() }))
        }
        Mtls::SetEnforcement { level, approval } => {
            approved(&session.client(cluster, Need::Login)?, &approval)?.mtls_set_enforcement(level)?;
            let level = match level {
                MtlsEnforcement::None => "None",
                MtlsEnforcement::Cluster => "Cluster",
            };
            Ok(output::message(&format!("Mtls enforcement level set to {level} successfully")))
        }
    }
}
