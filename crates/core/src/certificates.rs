//! Certificates as objects: who makes, sees, changes and deletes them.
//!
//! Everybody who may connect makes and sees certificates, as with the original. So that this is safe, a certificate is
//! somebody's: whoever was logged in when it was made changes and deletes it, nobody else, and alone sees it when it is
//! private. One that was made without a login is nobody's, and anybody's to change and to delete; there is room for a part of
//! them only, and none of them lasts against everybody's will. Nor does one user take all the room.

use std::sync::Arc;

use strongroom_types::limits::{CERTIFICATES_EACH_MAX, CERTIFICATES_MAX, CERTIFICATES_OF_NOBODY_MAX};
use strongroom_types::{
    CertificateAttributes, CertificateChange, CertificateFilter, CertificateReference, CertificateTemplate, CheckValue,
    HsmType, Refusal, Status, UserId, UserName,
};

use crate::permissions::{Operation, permit};
use crate::plan::{Asking, internal};
use crate::records::{Certificate, Outcome};
use crate::{Actor, Effect, Plan, PlanError, Planned, Record, Reply, State, receipts};

/// A certificate and its owner's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateView {
    /// The certificate.
    pub certificate: Arc<Certificate>,
    /// None of one that is nobody's.
    pub owner: Option<UserName>,
}

impl CertificateView {
    pub(crate) fn of(state: &State, certificate: &Arc<Certificate>) -> Result<CertificateView, Refusal> {
        // `apply` keeps every certificate's owner among the users.
        let name = |id| state.user(id).map(|user| user.name.clone()).ok_or_else(|| internal("owner"));
        let owner = certificate.owner.map(name).transpose()?;
        Ok(CertificateView { certificate: Arc::clone(certificate), owner })
    }
}

/// The visible certificates that the filter selects, in order of references.
pub fn find_certificates(
    state: &State,
    actor: &Actor,
    filter: &CertificateFilter,
    now_ms: u64,
) -> Result<Vec<CertificateView>, Refusal> {
    let caller = permit(state, actor, Operation::CertificateFind, now_ms)?.map(|user| user.id);
    check_type(state)?;
    let selected = |certificate: &&Arc<Certificate>| {
        certificate.is_visible_to(caller)
            && filter.selects(&certificate.template.attributes, &certificate.template.value)
    };
    state.certificates().filter(selected).map(|certificate| CertificateView::of(state, certificate)).collect()
}

/// One certificate that the actor may see.
pub fn certificate_view(
    state: &State,
    actor: &Actor,
    reference: CertificateReference,
    now_ms: u64,
) -> Result<CertificateView, Refusal> {
    let caller = permit(state, actor, Operation::CertificateGet, now_ms)?.map(|user| user.id);
    check_type(state)?;
    CertificateView::of(state, visible(state, caller, reference)?)
}

pub(crate) fn check_create(asking: &Asking<'_>, template: &CertificateTemplate, trusted: bool) -> Result<(), Refusal> {
    check_type(asking.state)?;
    if trusted {
        return Err(Refusal::new(Status::AttributeReadOnly, "trusted"));
    }
    template.check()?;
    let owner = caller(asking);
    if owner.is_none() {
        check_for_nobody(&template.attributes)?;
    }
    let (all, own) = (asking.state.certificates().count(), asking.state.certificates_len_of(owner));
    let full = |about| Err(Refusal::new(Status::CertificatesFull, about));
    match owner {
        None if own >= CERTIFICATES_OF_NOBODY_MAX => {
            return full(format!("{CERTIFICATES_OF_NOBODY_MAX} made without a login; log in, or delete one of them"));
        }
        Some(_) if own >= CERTIFICATES_EACH_MAX => {
            return full(format!("{CERTIFICATES_EACH_MAX} of this crypto user's; delete one of them"));
        }
        None | Some(_) => {}
    }
    if all >= CERTIFICATES_MAX { full(format!("{CERTIFICATES_MAX} certificates")) } else { Ok(()) }
}

/// What nobody sees and what nobody can delete would only take room away.
fn check_for_nobody(attributes: &CertificateAttributes) -> Result<(), Refusal> {
    let refused = |about| Err(Refusal::new(Status::TemplateInconsistent, about));
    match (attributes.private, attributes.destroyable) {
        (true, _) => refused("private=true needs an owner; log in first"),
        (_, false) => refused("destroyable=false needs an owner; log in first"),
        (false, true) => Ok(()),
    }
}

pub(crate) fn create(
    asking: &Asking<'_>,
    template: &CertificateTemplate,
    reference: CertificateReference,
    check_value: CheckValue,
) -> Result<Plan, PlanError> {
    if asking.state.is_reference_taken(reference.as_u64()) {
        return Err(PlanError::DrawAgain);
    }
    let certificate = Certificate {
        reference,
        owner: caller(asking),
        template: template.clone(),
        check_value,
        creation: asking.creation(),
        created_ms: asking.now_ms,
    };
    let reply = Reply::Certificate(CertificateView::of(asking.state, &Arc::new(certificate.clone()))?);
    let (puts, deletes) = (vec![Record::Certificate(certificate)], Vec::new());
    Ok(Plan::Change(Planned { puts, deletes, reply, effect: Effect::Granting }))
}

pub(crate) fn check_delete<'a>(
    asking: &Asking<'a>,
    reference: CertificateReference,
) -> Result<&'a Arc<Certificate>, Refusal> {
    let certificate = own(asking, reference)?;
    if certificate.template.attributes.destroyable {
        Ok(certificate)
    } else {
        Err(Refusal::new(Status::CertificateProtected, "destroyable=false"))
    }
}

pub(crate) fn delete(asking: &Asking<'_>, reference: CertificateReference) -> Result<Plan, PlanError> {
    let certificate = check_delete(asking, reference)?;
    let effect = Effect::Revoking;
    let (creation, created_ms) = (&certificate.creation, certificate.created_ms);
    let outlived = receipts::outlive(creation, created_ms, Outcome::CertificateGone, asking.now_ms);
    let puts = outlived.into_iter().chain([asking.receipt(Outcome::Done, effect)]).collect();
    let deletes = vec![Certificate::path_of(reference)];
    Ok(Plan::Change(Planned { puts, deletes, reply: Reply::Done, effect }))
}

/// What the certificate is afterwards.
pub(crate) fn check_set(
    asking: &Asking<'_>,
    reference: CertificateReference,
    change: &CertificateChange,
) -> Result<Certificate, Refusal> {
    let certificate = own(asking, reference)?;
    let attributes = &certificate.template.attributes;
    if !attributes.modifiable {
        return Err(Refusal::new(Status::CertificateProtected, "modifiable=false"));
    }
    let attributes = attributes.changed(change);
    attributes.check()?;
    let template = CertificateTemplate { attributes, ..certificate.template.clone() };
    Ok(Certificate { template, ..Certificate::clone(certificate) })
}

pub(crate) fn set(
    asking: &Asking<'_>,
    reference: CertificateReference,
    change: &CertificateChange,
) -> Result<Plan, PlanError> {
    let certificate = check_set(asking, reference, change)?;
    let is_new = asking.state.certificate(reference).is_none_or(|before| **before != certificate);
    let puts = if is_new { vec![Record::Certificate(certificate)] } else { Vec::new() };
    Ok(asking.done(puts, Effect::Revoking))
}

/// The certificate, if the actor may change it.
fn own<'a>(asking: &Asking<'a>, reference: CertificateReference) -> Result<&'a Arc<Certificate>, Refusal> {
    check_type(asking.state)?;
    let certificate = visible(asking.state, caller(asking), reference)?;
    if certificate.owner.is_none() || certificate.owner == caller(asking) {
        return Ok(certificate);
    }
    Err(Refusal::new(Status::CertificateProtected, "another user owns it"))
}

fn visible(
    state: &State,
    caller: Option<UserId>,
    reference: CertificateReference,
) -> Result<&Arc<Certificate>, Refusal> {
    let certificate = state.certificate(reference).filter(|certificate| certificate.is_visible_to(caller));
    certificate.ok_or_else(|| Status::CertificateUnknown.into())
}

fn caller(asking: &Asking<'_>) -> Option<UserId> {
    asking.user.map(|user| user.id)
}

fn check_type(state: &State) -> Result<(), Refusal> {
    let cluster = state.cluster().ok_or_else(|| internal("cluster"))?;
    match cluster.hsm_type {
        HsmType::Hsm2mMedium => Ok(()),
        HsmType::Hsm1Medium => Err(Refusal::new(Status::CertificatesNotOfType, HsmType::Hsm1Medium.as_str())),
    }
}

impl Certificate {
    /// Whether who is logged in as `user`, or nobody is, may see it.
    fn is_visible_to(&self, user: Option<UserId>) -> bool {
        !self.template.attributes.private || self.owner == user
    }
}

impl State {
    /// Every certificate, whoever may see it, in order of references.
    pub fn certificates(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        self.certificates.values()
    }

    /// One certificate, whoever may see it.
    pub fn certificate(&self, reference: CertificateReference) -> Option<&Arc<Certificate>> {
        self.certificates.get(&reference)
    }

    /// The certificates of a user, or of nobody.
    pub(crate) fn certificates_of(&self, owner: Option<UserId>) -> impl Iterator<Item = &Arc<Certificate>> {
        self.certificates().filter(move |certificate| certificate.owner == owner)
    }

    fn certificates_len_of(&self, owner: Option<UserId>) -> usize {
        self.certificates_of(owner).count()
    }

    /// Whether a key or a certificate has this number.
    pub(crate) fn is_reference_taken(&self, number: u64) -> bool {
        let key = strongroom_types::KeyReference::from_u64(number);
        key.is_some_and(|key| self.key(key).is_some())
            || CertificateReference::from_u64(number).is_some_and(|reference| self.certificate(reference).is_some())
    }
}
