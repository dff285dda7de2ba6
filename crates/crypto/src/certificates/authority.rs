use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use strongroom_types::{Curve, HashFunction, PublicPart, Secret};
use thiserror::Error;

use super::{Certificate, CertificateError, CertificateRequest, Name};
use crate::der::{self, tag};
use crate::digest::digest;
use crate::pem::{self, PemError};
use crate::{random, spki};

/// How long the CA and what it issues are valid: ten years, in seconds.
const VALIDITY_S: i64 = 3_652 * 24 * 60 * 60;
/// Bytes of a serial number (RFC 5280 §4.1.2.2 allows 20; the first bit stays clear).
const SERIAL_LEN: usize = 20;
/// `ecdsa-with-SHA256`, RFC 5758 §3.2.
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];

/// Why two files are no CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuthorityError {
    /// The certificate's file.
    #[error("the CA's certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The key's file is no PEM.
    #[error("the CA's key: {0}")]
    KeyPem(#[from] PemError),
    /// Not a P-256 key, which is what Strongroom's own CA has.
    #[error("the CA's key is not a P-256 key in PKCS #8")]
    Key,
    /// Another key's certificate, or one that is not a CA's.
    #[error("the CA's certificate does not belong to the CA's key")]
    Mismatch,
}

/// The CA that `strongroom up` makes where the service leaves a customer to make one: P-256, self-signed.
pub struct CustomerCa {
    key: EcdsaKeyPair,
    certificate: Certificate,
}

impl CustomerCa {
    /// Makes a key and a certificate (version 3, basicConstraints critical CA:TRUE, keyCertSign and cRLSign, subject
    /// key identifier) that is valid for ten years from `now_s`, Unix time in seconds.
    pub fn generate(now_s: u64) -> CustomerCa {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("P-256 key generation needs no input");
        // Each CA has a name of its own, so that certificates of two clusters are never taken for each other's.
        let tail: String = random::bytes::<4>().iter().map(|byte| format!("{byte:02x}")).collect();
        let name = Name::authority(&format!("Customer CA {tail}"));
        let public = public(&key);
        let der = sign(
            &key,
            &[
                &der::element(tag::context(0), &[&der::unsigned(&[2])]),
                &certificate_fields(&name, now_s, &name, &public),
                &der::element(tag::context(3), &[&extensions(&public)]),
            ],
        );
        let certificate = Certificate::from_der(&der).expect("the DER is an X.509 certificate");
        CustomerCa { key, certificate }
    }

    /// Reads the CA that [`CustomerCa::generate`] made, from the PEM of its certificate and of its key.
    pub fn from_pem(certificate: &[u8], key: &Secret) -> Result<CustomerCa, AuthorityError> {
        let certificate = Certificate::from_pem(certificate)?;
        let pkcs8 = pem::decode_secret(pem::PRIVATE_KEY, key)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.expose())
            .map_err(|_| AuthorityError::Key)?;
        if !certificate.may_issue || certificate.public_key()? != public(&key) {
            return Err(AuthorityError::Mismatch);
        }
        Ok(CustomerCa { key, certificate })
    }

    /// The CA's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The CA's key, PKCS #8 in PEM.
    pub fn key_pem(&self) -> Secret {
        let pkcs8 = self.key.to_pkcs8v1().expect("a P-256 key has a PKCS #8 form");
        pem::encode_secret(pem::PRIVATE_KEY, &Secret::from(pkcs8.as_ref()))
    }

    /// What `openssl x509 -req` of OpenSSL 3.0 issues: X.509 version 1, the request's subject, a random serial number;
    /// valid for ten years from `now_s`, Unix time in seconds. The request's signature was checked when it was read.
    pub fn issue(&self, request: &CertificateRequest, now_s: u64) -> Certificate {
        let fields = certificate_fields(self.certificate.subject(), now_s, request.subject(), request.public_key());
        let der = sign(&self.key, &[&fields]);
        Certificate::from_der(&der).expect("the DER is an X.509 certificate")
    }
}

impl fmt::Debug for CustomerCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomerCa({})", self.certificate.subject)
    }
}

fn public(key: &EcdsaKeyPair) -> PublicPart {
    PublicPart::Ec { curve: Curve::P256, point: key.public_key().as_ref().to_vec() }
}

fn algorithm() -> Vec<u8> {
    der::sequence(&[&der::oid(ECDSA_WITH_SHA256)])
}

/// TBSCertificate from serialNumber to subjectPublicKeyInfo (RFC 5280 §4.1.2), without the SEQUENCE around it.
fn certificate_fields(issuer: &Name, now_s: u64, subject: &Name, public: &PublicPart) -> Vec<u8> {
    let mut serial = random::bytes::<SERIAL_LEN>();
    // Positive, and of the same length always: the first byte is 40 to 7f.
    serial[0] = serial[0] & 0x7f | 0x40;
    let not_before = i64::try_from(now_s).unwrap_or(i64::MAX - VALIDITY_S);
    let validity = der::sequence(&[&time(not_before), &time(not_before + VALIDITY_S)]);
    let spki = spki::encode(public);
    [&der::unsigned(&serial), &algorithm(), issuer.der(), &validity, subject.der(), &spki[..]].concat()
}

fn extensions(public: &PublicPart) -> Vec<u8> {
    let PublicPart::Ec { point, .. } = public else { unreachable!("the CA's key is on P-256") };
    let critical = [tag::BOOLEAN, 1, 0xff];
    let extension =
        |id: &[u8], critical: &[u8], value: &[u8]| der::sequence(&[&der::oid(id), critical, &der::octet_string(value)]);
    // keyCertSign and cRLSign are bits 5 and 6 (RFC 5280 §4.2.1.3); the identifier is method 1 of §4.2.1.2.
    let usage = der::element(tag::BIT_STRING, &[&[1, 0b0000_0110]]);
    let identifier = der::octet_string(&digest(HashFunction::Sha1, point));
    der::sequence(&[
        &extension(BASIC_CONSTRAINTS, &critical, &der::sequence(&[&critical])),
        &extension(KEY_USAGE, &critical, &usage),
        &extension(SUBJECT_KEY_IDENTIFIER, &[], &identifier),
    ])
}

fn sign(key: &EcdsaKeyPair, parts: &[&[u8]]) -> Vec<u8> {
    let to_be_signed = der::sequence(parts);
    let signature = key.sign(&SystemRandom::new(), &to_be_signed).expect("ECDSA signs data of any length");
    der::sequence(&[&to_be_signed, &algorithm(), &der::bit_string(signature.as_ref())])
}

/// UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5).
pub(super) fn time(unix_s: i64) -> Vec<u8> {
    let (days, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let rest = format!("{month:02}{day:02}{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60);
    match year {
        1950..2050 => der::element(tag::UTC_TIME, &[format!("{:02}{rest}", year % 100).as_bytes()]),
        _ => der::element(tag::GENERALIZED_TIME, &[format!("{:04}{rest}", year.min(9999)).as_bytes()]),
    }
}

/// Year, month and day of the proleptic Gregorian calendar, from days since 1970-01-01 (H. Hinnant,
/// "chrono-compatible low-level date algorithms", `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_5280_says() {
        let check = |unix_s: i64, expected: &[u8]| assert_eq!(&time(unix_s)[2..], expected, "{unix_s}");
        check(0, b"700101000000Z");
        check(951_782_399, b"000228235959Z");
        check(951_782_400, b"000229000000Z");
        check(1_767_225_599, b"251231235959Z");
        check(2_524_607_999, b"491231235959Z");
        check(2_524_608_000, b"20500101000000Z");
        check(4_107_542_400, b"21000301000000Z");
    }
}
