//! Trust anchors of clients' certificates, and whether a connection needs one.
//!
//! The HSM checks certificates; here stands which anchors there are and what that means for connections. Every change is
//! acknowledged when all members act by it: an anchor that is acknowledged is good everywhere, and over a connection that
//! may be no more nothing is answered afterwards.

use std::sync::Arc;

use strongroom_types::limits::{TRUST_ANCHOR_LEN_MAX, TRUST_ANCHORS_MAX};
use strongroom_types::{CertificateFingerprint, HsmType, MtlsEnforcement, Refusal, Status, TrustAnchorReference};

use crate::permissions::{Operation, permit};
use crate::plan::{Asking, internal};
use crate::records::{Outcome, TrustAnchor};
use crate::{Actor, Cluster, Effect, Plan, PlanError, Planned, Record, Reply, State, Via, receipts};

/// The only user who sets the enforcement level.
const ENFORCER: &str = "admin";

/// Whether a client may ask anything over its connection: `presented` is the trust anchor under which the client's
/// certificate was found good when the connection began, or none without a certificate.
pub fn check_connection(state: &State, presented: Option<&CertificateFingerprint>) -> Result<(), Refusal> {
    let refused = |about: &str| Err(Refusal::new(Status::ClientCertificateRequired, about));
    match presented {
        Some(anchor) if state.trust_anchor_of(anchor).is_some() => Ok(()),
        Some(_) => refused("the trust anchor of this connection's certificate was deregistered"),
        None if state.mtls_enforcement() == MtlsEnforcement::None => Ok(()),
        None => refused("mutual TLS is enforced"),
    }
}

/// Every trust anchor, in order of references. Needs no login.
pub fn list_trust_anchors(state: &State, actor: &Actor, now_ms: u64) -> Result<Vec<Arc<TrustAnchor>>, Refusal> {
    permit(state, actor, Operation::MtlsListTrustAnchors, now_ms)?;
    Ok(state.trust_anchors().cloned().collect())
}

/// The enforcement level, for whoever is logged in.
pub fn enforcement(state: &State, actor: &Actor, now_ms: u64) -> Result<MtlsEnforcement, Refusal> {
    permit(state, actor, Operation::MtlsGetEnforcement, now_ms)?;
    Ok(state.mtls_enforcement())
}

pub(crate) fn check_register(
    asking: &Asking<'_>,
    chain_pem: &str,
    fingerprint: &CertificateFingerprint,
) -> Result<(), Refusal> {
    let cluster = cluster(asking)?;
    let invalid = |about: String| Err(Refusal::new(Status::TrustAnchorInvalid, about));
    if cluster.hsm_type == HsmType::Hsm1Medium {
        return invalid(format!("{} has no mutual TLS; {} has", HsmType::Hsm1Medium, HsmType::Hsm2mMedium));
    }
    if !TrustAnchor::fits(chain_pem) {
        return invalid(format!("the chain is empty or longer than {TRUST_ANCHOR_LEN_MAX} bytes"));
    }
    if let Some(known) = asking.state.trust_anchor_of(fingerprint) {
        return invalid(format!("it is registered as {}", known.reference));
    }
    if asking.state.trust_anchors().count() >= TRUST_ANCHORS_MAX {
        return Err(Refusal::new(Status::TrustAnchorsFull, format!("{TRUST_ANCHORS_MAX} trust anchors")));
    }
    Ok(())
}

/// Under the lowest reference that is free.
pub(crate) fn register(
    asking: &Asking<'_>,
    chain_pem: &str,
    fingerprint: &CertificateFingerprint,
) -> Result<Plan, PlanError> {
    let free = |reference: &TrustAnchorReference| asking.state.trust_anchor(*reference).is_none();
    let reference = (1..=u32::from(u8::MAX)).filter_map(TrustAnchorReference::from_u32).find(free);
    let anchor = TrustAnchor {
        reference: reference.ok_or_else(|| internal("trust anchor"))?,
        fingerprint: *fingerprint,
        chain_pem: chain_pem.to_owned(),
        creation: asking.creation(),
        created_ms: asking.now_ms,
    };
    let reply = Reply::TrustAnchor(Arc::new(anchor.clone()));
    let (puts, deletes) = (vec![Record::TrustAnchor(anchor)], Vec::new());
    Ok(Plan::Change(Planned { puts, deletes, reply, effect: Effect::Revoking }))
}

pub(crate) fn check_deregister<'a>(
    asking: &Asking<'a>,
    reference: TrustAnchorReference,
) -> Result<&'a Arc<TrustAnchor>, Refusal> {
    let anchor = asking.state.trust_anchor(reference);
    let anchor = anchor.ok_or_else(|| Refusal::new(Status::TrustAnchorUnknown, reference.to_string()))?;
    if asking.state.mtls_enforcement() == MtlsEnforcement::Cluster {
        check_others_connect(asking, anchor)?;
    }
    Ok(anchor)
}

/// Whoever takes an anchor away while mutual TLS is enforced shows to be able to go on without it: nobody else could open
/// the door again.
fn check_others_connect(asking: &Asking<'_>, anchor: &TrustAnchor) -> Result<(), Refusal> {
    let in_use = |about: &str| Err(Refusal::new(Status::TrustAnchorInUse, about));
    if asking.state.trust_anchors().count() == 1 {
        return in_use("it is the last one; set the enforcement level to none first");
    }
    match &asking.request.via {
        Via::Client(Some(shown)) if *shown != anchor.fingerprint && asking.state.trust_anchor_of(shown).is_some() => {
            Ok(())
        }
        _ => in_use("connect with a certificate under the other one first, to show that clients can"),
    }
}

pub(crate) fn deregister(asking: &Asking<'_>, reference: TrustAnchorReference) -> Result<Plan, PlanError> {
    let anchor = check_deregister(asking, reference)?;
    let effect = Effect::Revoking;
    let outlived = receipts::outlive(&anchor.creation, anchor.created_ms, Outcome::TrustAnchorGone, asking.now_ms);
    let puts = outlived.into_iter().chain([asking.receipt(Outcome::Done, effect)]).collect();
    let deletes = vec![TrustAnchor::path_of(reference)];
    Ok(Plan::Change(Planned { puts, deletes, reply: Reply::Done, effect }))
}

/// Only the user `admin`, and only over a connection with a client certificate that is good: whoever enforces mutual TLS
/// has shown to be able to go on with it.
pub(crate) fn check_set_enforcement(asking: &Asking<'_>) -> Result<(), Refusal> {
    if asking.user()?.name.as_str() != ENFORCER {
        return Err(Refusal::new(Status::RoleNotPermitted, "only the user admin sets the enforcement level"));
    }
    let refused = |about: &str| Err(Refusal::new(Status::ClientCertificateRequired, about));
    match &asking.request.via {
        Via::Client(Some(anchor)) if asking.state.trust_anchor_of(anchor).is_some() => Ok(()),
        Via::Client(None) if asking.state.trust_anchors().next().is_none() => {
            refused("register a trust anchor first, then connect with a certificate under it")
        }
        _ => refused("the enforcement level is set over a connection with a client certificate only"),
    }
}

pub(crate) fn set_enforcement(asking: &Asking<'_>, level: MtlsEnforcement) -> Result<Plan, PlanError> {
    check_set_enforcement(asking)?;
    let cluster = cluster(asking)?;
    if cluster.mtls_enforcement == level {
        return Ok(asking.done(Vec::new(), Effect::Revoking));
    }
    let cluster = Cluster { mtls_enforcement: level, ..Cluster::clone(cluster) };
    Ok(asking.done(vec![Record::Cluster(cluster)], Effect::Revoking))
}

fn cluster<'a>(asking: &Asking<'a>) -> Result<&'a Arc<Cluster>, Refusal> {
    asking.state.cluster().ok_or_else(|| internal("cluster"))
}

impl State {
    /// Who may connect.
    pub fn mtls_enforcement(&self) -> MtlsEnforcement {
        self.cluster().map(|cluster| cluster.mtls_enforcement).unwrap_or_default()
    }

    /// Every trust anchor of clients' certificates, in order of references.
    pub fn trust_anchors(&self) -> impl Iterator<Item = &Arc<TrustAnchor>> {
        self.trust_anchors.values()
    }

    /// One trust anchor.
    pub fn trust_anchor(&self, reference: TrustAnchorReference) -> Option<&Arc<TrustAnchor>> {
        self.trust_anchors.get(&reference)
    }

    /// The trust anchor that is this certificate.
    pub fn trust_anchor_of(&self, fingerprint: &CertificateFingerprint) -> Option<&Arc<TrustAnchor>> {
        self.trust_anchors().find(|anchor| anchor.fingerprint == *fingerprint)
    }
}
