//! Certificates that applications keep in the cluster, with a login and without one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prost::Message;
use strongroom_core::permissions::Operation;
use strongroom_core::{Actor, CertificateView, Command, Made, Reply, certificate_view, find_certificates};
use strongroom_crypto::digest::digest;
use strongroom_types::limits::CERTIFICATE_CHANGE_MS_MIN;
use strongroom_types::{CertificateFilter, CertificateReference, CheckValue, HashFunction, Refusal, Status};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{CertificateInfo, WholeCertificate, v1};

use super::changes::internal;
use super::keys::drawn_reference;
use super::{Asked, Service, Session};

/// Bytes of what certificates are in one answer: strangers may ask, and hold up to 256 connections.
const PAGE_LEN_MAX: usize = 24 * 1024;

/// When somebody without a login last changed a certificate. So that strangers neither fill the store's history nor keep
/// every member busy, an HSM makes one of their changes at a time, and then none for a while.
#[derive(Default)]
pub(super) struct StrangersTurn(Mutex<Option<Instant>>);

impl StrangersTurn {
    fn take(&self, now: Instant) -> Result<(), Refusal> {
        const PAUSE: Duration = Duration::from_millis(CERTIFICATE_CHANGE_MS_MIN);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            let about = "certificates are changed without a login once a second; log in, or ask again";
            return Err(Refusal::new(Status::Busy, about));
        }
        *last = Some(now);
        Ok(())
    }
}

impl Service {
    pub(super) fn certificate_create(
        &self,
        session: &Session,
        message: &v1::CertificateCreate,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let actor = actor(session, message.without_login);
        self.permitted_to(&actor, Operation::CertificateCreate, asked)?;
        let template = message.clone().try_into()?;
        let check_value = check_value(&message.value)?;
        let command = Command::CreateCertificate { template: Box::new(template), trusted: message.trusted };
        let make = || Ok(Made::Certificate { reference: drawn_certificate_reference(), check_value });
        let Reply::Certificate(view) = self.change_certificates(&actor, asked, &command, make)? else {
            return Err(internal("reply"));
        };
        self.log.info(format_args!("the certificate {} was made by {session}", view.certificate.reference));
        Ok(Answer::CertificateCreate(info_of(&view).into()))
    }

    pub(super) fn certificate_delete(
        &self,
        session: &Session,
        message: &v1::CertificateDelete,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let actor = actor(session, message.without_login);
        let reference = self.named(&actor, Operation::CertificateDelete, message.reference, asked)?;
        self.change_certificates(&actor, asked, &Command::DeleteCertificate(reference), || Ok(Made::Nothing))?;
        self.log.info(format_args!("the certificate {reference} was deleted by {session}"));
        Ok(Answer::CertificateDelete(v1::Empty {}))
    }

    pub(super) fn certificate_set(
        &self,
        session: &Session,
        message: &v1::CertificateSet,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let actor = actor(session, message.without_login);
        let reference = self.named(&actor, Operation::CertificateSet, message.reference, asked)?;
        let command = Command::SetCertificate { reference, change: message.clone().into() };
        self.change_certificates(&actor, asked, &command, || Ok(Made::Nothing))?;
        self.log.info(format_args!("the certificate {reference} was changed by {session}"));
        Ok(Answer::CertificateSet(v1::Empty {}))
    }

    pub(super) fn certificate_find(
        &self,
        session: &Session,
        message: &v1::CertificateFind,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let actor = actor(session, message.without_login);
        self.permitted_to(&actor, Operation::CertificateFind, asked)?;
        self.freshen_for_list(asked);
        let filter = CertificateFilter::from(message.clone());
        let found = find_certificates(&self.cluster.state(), &actor, &filter, asked.now_ms)?;
        let references = found.iter().map(|view| view.certificate.reference.as_u64()).collect();
        let certificates = page(found.iter().filter(|view| view.certificate.reference.as_u64() > message.after));
        Ok(Answer::CertificateFind(v1::CertificateFindResult { references, certificates }))
    }

    pub(super) fn certificate_get(
        &self,
        session: &Session,
        message: &v1::CertificateGet,
        asked: &Asked,
    ) -> Result<Answer, Refusal> {
        let actor = actor(session, message.without_login);
        let reference = self.named(&actor, Operation::CertificateGet, message.reference, asked)?;
        let ask = |state: &strongroom_core::State| certificate_view(state, &actor, reference, asked.now_ms);
        let view = self.fresh(asked.deadline, ask)?;
        let template = &view.certificate.template;
        let (public_key_info, value) = (template.public_key_info.clone(), template.value.clone());
        Ok(Answer::CertificateGet(WholeCertificate { info: info_of(&view), public_key_info, value }.into()))
    }

    /// The certificate that a message names, after whether the actor may do such a thing at all. Zero is no certificate's
    /// reference.
    fn named(
        &self,
        actor: &Actor,
        operation: Operation,
        number: u64,
        asked: &Asked,
    ) -> Result<CertificateReference, Refusal> {
        self.permitted_to(actor, operation, asked)?;
        CertificateReference::from_u64(number).ok_or_else(|| Status::CertificateUnknown.into())
    }

    /// A change that takes the strangers' turn when it comes without a login. What was done before, and is asked for again,
    /// takes none.
    fn change_certificates(
        &self,
        actor: &Actor,
        asked: &Asked,
        command: &Command,
        mut make: impl FnMut() -> Result<Made, Refusal>,
    ) -> Result<Reply, Refusal> {
        let mut has_turn = *actor != Actor::Anonymous;
        self.change_by(*actor, asked, command, || {
            if !has_turn {
                self.strangers_turn.take(Instant::now())?;
                has_turn = true;
            }
            make()
        })
    }
}

/// Who asks: the client says whether it asks as its login or as somebody without one.
fn actor(session: &Session, without_login: bool) -> Actor {
    match session.actor() {
        Actor::Login(_) if without_login => Actor::Anonymous,
        actor => actor,
    }
}

fn drawn_certificate_reference() -> CertificateReference {
    CertificateReference::from_u64(drawn_reference().as_u64()).expect("no reference is zero")
}

/// The first three bytes of the SHA-1 (PKCS #11 v2.40 §4.6.2).
fn check_value(value: &[u8]) -> Result<CheckValue, Refusal> {
    let hash = digest(HashFunction::Sha1, value);
    hash.first_chunk().copied().ok_or_else(|| internal("digest"))
}

fn info_of(view: &CertificateView) -> CertificateInfo {
    CertificateInfo {
        reference: view.certificate.reference,
        attributes: view.certificate.template.attributes.clone(),
        check_value: view.certificate.check_value,
        owner: view.owner.clone(),
    }
}

/// As many as an answer holds, one at least.
fn page<'a>(found: impl Iterator<Item = &'a CertificateView>) -> Vec<v1::Certificate> {
    let mut len = 0;
    let mut page = Vec::new();
    for view in found {
        let message = v1::Certificate::from(info_of(view));
        len += message.encoded_len();
        if len > PAGE_LEN_MAX && !page.is_empty() {
            break;
        }
        page.push(message);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_one_turn_a_second() {
        let (turn, start) = (StrangersTurn::default(), Instant::now());
        let at = |ms| turn.take(start + Duration::from_millis(ms)).map_err(|refusal| refusal.status);
        assert_eq!(at(0), Ok(()));
        assert_eq!(at(1), Err(Status::Busy));
        assert_eq!(at(CERTIFICATE_CHANGE_MS_MIN - 1), Err(Status::Busy));
        assert_eq!(at(CERTIFICATE_CHANGE_MS_MIN), Ok(()));
        assert_eq!(at(2 * CERTIFICATE_CHANGE_MS_MIN - 1), Err(Status::Busy));
        assert_eq!(at(9 * CERTIFICATE_CHANGE_MS_MIN), Ok(()));
    }
}
