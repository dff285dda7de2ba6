//! Certificates that applications keep in the cluster, with a login and without one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prost::Message;
use strongroom_core::permissions::Operation;
use strongroom_core::{Actor, CertificateView, Command, Made, Reply, certificate_view, find_certificates};
use strongroom_crypto::digest::digest;
use strongroom_types::limits::{CERTIFICATE_CHANGE_MS_MAX, CERTIFICATE_CHANGE_MS_MIN};
use strongroom_types::{CertificateFilter, CertificateReference, CheckValue, HashFunction, Refusal, Status};
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{CertificateInfo, WholeCertificate, v1};

use super::changes::internal;
use super::keys::drawn_reference;
use super::{Asked, Service, Session};

/// Bytes of what certificates are in one answer: strangers may ask, and hold up to 256 connections.
const PAGE_LEN_MAX: usize = 24 * 1024;

/// Whether somebody without a login changes a certificate, and when one last began to. So that strangers neither fill the
/// store's history nor keep every member busy, an HSM makes one of their changes at a time, and then none for a while.
#[derive(Default)]
pub(super) struct StrangersTurn(Mutex<Begun>);

#[derive(Default)]
struct Begun {
    last: Option<Instant>,
    is_under_way: bool,
}

/// A change that is under way until this is dropped.
#[must_use]
struct UnderWay<'a>(&'a StrangersTurn);

impl StrangersTurn {
    fn take(&self, now: Instant) -> Result<UnderWay<'_>, Refusal> {
        const PAUSE: Duration = Duration::from_millis(CERTIFICATE_CHANGE_MS_MIN);
        let mut begun = self.lock();
        if begun.is_under_way || begun.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            let about = "certificates are changed without a login once a second, one at a time; log in, or ask again";
            return Err(Refusal::new(Status::Busy, about));
        }
        *begun = Begun { last: Some(now), is_under_way: true };
        Ok(UnderWay(self))
    }

    fn lock(&self) -> MutexGuard<'_, Begun> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.lock().is_under_way = false;
    }
}

/// Until when somebody without a login waits for a change of certificates: for the store and the other members, of which one
/// may be stopped. The change itself may be made after that; the same again finds out.
fn strangers_deadline(now: Instant, deadline: Instant) -> Instant {
    deadline.min(now + Duration::from_millis(CERTIFICATE_CHANGE_MS_MAX))
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
        self.freshen_for_list(asked)?;
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
        let view = self.fresh(asked, ask)?;
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
        let is_stranger = *actor == Actor::Anonymous;
        let deadline = if is_stranger { strangers_deadline(Instant::now(), asked.deadline) } else { asked.deadline };
        let mut under_way = None;
        self.change_by(*actor, asked, deadline, command, || {
            if is_stranger && under_way.is_none() {
                under_way = Some(self.strangers_turn.take(Instant::now())?);
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
        let at = |ms| turn.take(start + Duration::from_millis(ms)).map(drop).map_err(|refusal| refusal.status);
        assert_eq!(at(0), Ok(()));
        assert_eq!(at(1), Err(Status::Busy));
        assert_eq!(at(CERTIFICATE_CHANGE_MS_MIN - 1), Err(Status::Busy));
        assert_eq!(at(CERTIFICATE_CHANGE_MS_MIN), Ok(()));
        assert_eq!(at(2 * CERTIFICATE_CHANGE_MS_MIN - 1), Err(Status::Busy));
        assert_eq!(at(9 * CERTIFICATE_CHANGE_MS_MIN), Ok(()));
        // However long one takes, there is no other meanwhile.
        let under_way = turn.take(start + Duration::from_millis(20 * CERTIFICATE_CHANGE_MS_MIN)).unwrap();
        assert_eq!(at(30 * CERTIFICATE_CHANGE_MS_MIN), Err(Status::Busy));
        drop(under_way);
        assert_eq!(at(30 * CERTIFICATE_CHANGE_MS_MIN), Ok(()));
    }

    #[test]
    fn strangers_wait_for_a_change_no_longer_than_this() {
        let now = Instant::now();
        let waits = |ms| strangers_deadline(now, now + Duration::from_millis(ms)) - now;
        for below in [0, CERTIFICATE_CHANGE_MS_MAX - 1, CERTIFICATE_CHANGE_MS_MAX] {
            assert_eq!(waits(below), Duration::from_millis(below));
        }
        assert_eq!(waits(CERTIFICATE_CHANGE_MS_MAX + 1), Duration::from_millis(CERTIFICATE_CHANGE_MS_MAX));
    }
}
