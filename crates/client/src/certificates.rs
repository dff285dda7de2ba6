//! Certificates as objects: as the login's user, or without a login.

use strongroom_types::limits::{CERTIFICATES_MAX, FRAME_LEN_MAX_BEFORE_LOGIN};
use strongroom_types::{CertificateChange, CertificateFilter, CertificateReference, CertificateTemplate};
use strongroom_wire::frame::{FrameError, message_len};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Answer;
use strongroom_wire::{CertificateInfo, Malformed, WholeCertificate, v1};

use crate::client::Client;
use crate::error::ClientError;
use crate::manner::{self, Manner};

/// Bytes of a request beside its operation: ids, deadline, revision, tags and lengths.
const AROUND_LEN_MAX: usize = 128;

/// A page of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundCertificates {
    references: Vec<CertificateReference>,
    certificates: Vec<CertificateInfo>,
}

impl TryFrom<v1::CertificateFindResult> for FoundCertificates {
    type Error = Malformed;

    fn try_from(message: v1::CertificateFindResult) -> Result<FoundCertificates, Malformed> {
        let malformed = Malformed { field: "references" };
        if message.references.len() > CERTIFICATES_MAX || message.certificates.len() > message.references.len() {
            return Err(malformed);
        }
        let reference = |number| CertificateReference::from_u64(number).ok_or(malformed);
        let references = message.references.into_iter().map(reference).collect::<Result<_, _>>()?;
        let certificates = message.certificates.into_iter().map(CertificateInfo::try_from).collect::<Result<_, _>>()?;
        Ok(FoundCertificates { references, certificates })
    }
}

/// As whom a call asks: decided once, for all of it.
#[derive(Clone, Copy)]
struct Caller {
    /// Nobody has logged in, or who had has logged out.
    without_login: bool,
}

impl Caller {
    fn changes(self) -> &'static Manner {
        if self.without_login { &manner::PUBLIC_CERTIFICATES } else { &manner::MANAGEMENT }
    }

    fn queries(self) -> &'static Manner {
        if self.without_login { &manner::PUBLIC_QUERY } else { &manner::QUERY }
    }

    /// What is longer than a frame without a login would end the connection of every HSM that is asked.
    fn check_fits(self, operation_len: usize) -> Result<(), ClientError> {
        let (len, max) = (operation_len + AROUND_LEN_MAX, FRAME_LEN_MAX_BEFORE_LOGIN);
        if self.without_login && len > max { Err(FrameError::TooLong { len, max }.into()) } else { Ok(()) }
    }
}

impl Client {
    /// Makes a certificate: the login's user's, or nobody's without a login. Who had a login that ended is refused, here and in
    /// all that follows, until the next login or a logout.
    pub fn certificate_create(&self, template: &CertificateTemplate) -> Result<CertificateInfo, ClientError> {
        let caller = self.certificate_caller();
        let without_login = caller.without_login;
        let message = v1::CertificateCreate { without_login, ..template.clone().into() };
        caller.check_fits(message_len(&message))?;
        self.call(caller.changes(), Operation::CertificateCreate(message))?.read(|answer| match answer {
            Answer::CertificateCreate(certificate) => Some(certificate.try_into()),
            _ => None,
        })
    }

    /// Deletes a certificate: when this returns, no HSM has it any more.
    pub fn certificate_delete(&self, certificate: CertificateReference) -> Result<(), ClientError> {
        let caller = self.certificate_caller();
        let (reference, without_login) = (certificate.as_u64(), caller.without_login);
        let operation = Operation::CertificateDelete(v1::CertificateDelete { reference, without_login });
        let answered = self.call(caller.changes(), operation)?;
        answered.read(|answer| matches!(answer, Answer::CertificateDelete(_)).then_some(Ok(())))
    }

    /// Says anew what a certificate is: when this returns, it is so on every HSM.
    pub fn certificate_set(
        &self,
        certificate: CertificateReference,
        change: &CertificateChange,
    ) -> Result<(), ClientError> {
        let caller = self.certificate_caller();
        let (reference, without_login) = (certificate.as_u64(), caller.without_login);
        let message = v1::CertificateSet { reference, without_login, ..change.clone().into() };
        caller.check_fits(message_len(&message))?;
        let answered = self.call(caller.changes(), Operation::CertificateSet(message))?;
        answered.read(|answer| matches!(answer, Answer::CertificateSet(_)).then_some(Ok(())))
    }

    /// The certificates that fit and that the caller may see, in order of references. One round trip, unless much is said of
    /// many of them.
    pub fn certificate_find(&self, filter: &CertificateFilter) -> Result<Vec<CertificateInfo>, ClientError> {
        let caller = self.certificate_caller();
        let without_login = caller.without_login;
        let mut found: Vec<CertificateInfo> = Vec::new();
        loop {
            let last = found.last().map(|certificate| certificate.reference);
            let after = last.map_or(0, CertificateReference::as_u64);
            let message = v1::CertificateFind { after, without_login, ..filter.clone().into() };
            caller.check_fits(message_len(&message))?;
            let answered = self.call(caller.queries(), Operation::CertificateFind(message))?;
            let page: FoundCertificates = answered.read(|answer| match answer {
                Answer::CertificateFind(page) => Some(page.try_into().and_then(|page| in_order(page, last))),
                _ => None,
            })?;
            let is_last = page.certificates.is_empty();
            found.extend(page.certificates);
            if is_last || found.last().map(|certificate| certificate.reference) >= page.references.last().copied() {
                return Ok(found);
            }
        }
    }

    /// One certificate, all of it.
    pub fn certificate_get(&self, certificate: CertificateReference) -> Result<WholeCertificate, ClientError> {
        let caller = self.certificate_caller();
        let (reference, without_login) = (certificate.as_u64(), caller.without_login);
        let operation = Operation::CertificateGet(v1::CertificateGet { reference, without_login });
        self.call(caller.queries(), operation)?.read(|answer| match answer {
            Answer::CertificateGet(certificate) => Some(certificate.try_into()),
            _ => None,
        })
    }

    fn certificate_caller(&self) -> Caller {
        Caller { without_login: !self.engine().calls_as_user() }
    }
}

/// A page that goes on where the one before ended, so that there is an end.
fn in_order(page: FoundCertificates, last: Option<CertificateReference>) -> Result<FoundCertificates, Malformed> {
    let references = page.certificates.iter().map(|certificate| Some(certificate.reference));
    let is_in_order = std::iter::once(last).chain(references).is_sorted_by(|one, next| one < next);
    if is_in_order { Ok(page) } else { Err(Malformed { field: "certificates" }) }
}
