//! Key files that hold no key: a PEM file with the right public part and, where the private integers stand, a marker
//! that names a key in the HSMs. `docs/spec/reference-pem.md` describes every byte and why.
//!
//! * The private integer of both RSA (`d`) and EC (the scalar) is [`PRIVATE_INTEGER_LEN`] bytes: a sentence for people,
//!   then the marker. It carries no secret: who reads the file can't sign with it.
//! * Its length is the point: an EC scalar of more than 96 bytes makes stock libraries refuse to sign, where a shorter
//!   one makes them sign nonsense without an error. For RSA the five zeros of the CRT do that.
//! * The marker is a hint. A key is found by its public part; [`Marker::matches`] tells a file whose halves were mixed.

use std::fmt::Write;

use strongroom_crypto::der::{self, DerError, Reader, tag};
use strongroom_crypto::digest::digest;
use strongroom_crypto::pem::{self, PemError};
use strongroom_crypto::spki;
use strongroom_types::{Curve, HashFunction, KeyReference, PublicPart, Secret};
use thiserror::Error;

/// Length in bytes of a marker, short enough to stay below the order of P-224 should another tool want that.
pub const MARKER_LEN: usize = 27;
/// Length in bytes of the integer that stands for the private key: more than the 96 bytes up to which OpenSSL's nonce
/// generation takes a scalar.
pub const PRIVATE_INTEGER_LEN: usize = SENTENCE.len() + MARKER_LEN;

/// What stands before the marker, for whoever looks at the file with a hex viewer.
const SENTENCE: &[u8; 77] = b"This is not a private key. It names a key in a Strongroom cluster of HSMs. > ";
/// Behind the version.
const MAGIC: &[u8; 5] = b"SRREF";
/// The first byte of a marker. Never zero, so that no encoder of integers drops it.
const VERSION: u8 = 1;
/// Bytes kept of the SHA-256 of the SubjectPublicKeyInfo.
const DIGEST_LEN: usize = MARKER_LEN - 1 - MAGIC.len() - size_of::<u64>();

/// Labels of the three forms in which a private key comes.
const RSA_LABEL: &str = "RSA PRIVATE KEY";
const EC_LABEL: &str = "EC PRIVATE KEY";

/// What a private integer says of the key in the HSMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Marker {
    /// The private key. A hint: look the key up by its public part.
    pub reference: KeyReference,
    digest: [u8; DIGEST_LEN],
}

impl Marker {
    /// The marker of this private key.
    pub fn new(reference: KeyReference, public: &PublicPart) -> Marker {
        Marker { reference, digest: public_digest(public) }
    }

    /// Reads a private integer, big-endian, with as many leading zeros as its holder put there: the sentence and the
    /// marker, or the marker alone. None for everything else, real keys above all.
    pub fn parse(integer: &[u8]) -> Option<Marker> {
        let first = integer.iter().position(|byte| *byte != 0)?;
        let integer = integer.get(first..)?;
        let marker = integer.strip_prefix(SENTENCE).unwrap_or(integer);
        let marker: &[u8; MARKER_LEN] = marker.try_into().ok()?;
        let rest = marker.strip_prefix(&[VERSION])?.strip_prefix(MAGIC)?;
        let (reference, digest) = rest.split_first_chunk()?;
        let reference = KeyReference::from_u64(u64::from_be_bytes(*reference))?;
        Some(Marker { reference, digest: digest.try_into().ok()? })
    }

    /// Whether this marker was made for that public part. False for a file whose halves come from two keys.
    pub fn matches(&self, public: &PublicPart) -> bool {
        self.digest == public_digest(public)
    }

    /// The integer that stands where a private key has `d` or its scalar: big-endian, [`PRIVATE_INTEGER_LEN`] bytes.
    pub fn private_integer(&self) -> Vec<u8> {
        let mut integer = Vec::with_capacity(PRIVATE_INTEGER_LEN);
        integer.extend_from_slice(SENTENCE);
        integer.push(VERSION);
        integer.extend_from_slice(MAGIC);
        integer.extend_from_slice(&self.reference.as_u64().to_be_bytes());
        integer.extend_from_slice(&self.digest);
        integer
    }
}

/// The private integer of a reference to this private key.
pub fn marker_for(reference: KeyReference, public: &PublicPart) -> Vec<u8> {
    Marker::new(reference, public).private_integer()
}

fn public_digest(public: &PublicPart) -> [u8; DIGEST_LEN] {
    let digest = digest(HashFunction::Sha256, &spki::encode(public));
    *digest.first_chunk().expect("SHA-256 has 32 bytes")
}

/// The lines before the key, for people only: every reader skips them, and re-encoding drops them.
#[derive(Clone, Copy, Debug)]
pub struct Comment<'a> {
    /// The key's label.
    pub label: &'a str,
    /// The cluster that holds the key.
    pub cluster_id: &'a str,
}

/// The whole file: comment, then PKCS #1 (RFC 8017 §A.1.2) or SEC 1 (RFC 5915 §3). None for keys whose form has no room
/// for a marker: Ed25519 and ML-DSA keys are strings of fixed lengths, any of which is a real key.
pub fn encode(reference: KeyReference, public: &PublicPart, comment: &Comment<'_>) -> Option<String> {
    let integer = marker_for(reference, public);
    let (label, der) = match public {
        PublicPart::Rsa { modulus, public_exponent } => (RSA_LABEL, rsa(modulus, public_exponent, &integer)),
        PublicPart::Ec { curve, point } if curve.is_weierstrass() => (EC_LABEL, ec(*curve, point, &integer)),
        PublicPart::Ec { .. } | PublicPart::MlDsa { .. } => return None,
    };
    // A label may hold any character; one that ends a line could start a PEM block of its own.
    let printable = |text: &str| text.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>();
    let mut file = String::from(
        "This file holds no secret: it names a private key that stays in the HSMs of a cluster.\n\
         Give it to OpenSSL together with the engine `cloudhsm`; without the engine nothing can sign with it.\n",
    );
    writeln!(file, "Key reference: {reference}").expect("a String takes every text");
    writeln!(file, "Label: {}", printable(comment.label)).expect("a String takes every text");
    writeln!(file, "Cluster: {}\n", printable(comment.cluster_id)).expect("a String takes every text");
    file.push_str(&pem::encode(label, &der));
    Some(file)
}

fn rsa(modulus: &[u8], public_exponent: &[u8], integer: &[u8]) -> Vec<u8> {
    let zero = der::unsigned(&[]);
    der::sequence(&[
        &zero,
        &der::unsigned(modulus),
        &der::unsigned(public_exponent),
        &der::unsigned(integer),
        &zero,
        &zero,
        &zero,
        &zero,
        &zero,
    ])
}

fn ec(curve: Curve, point: &[u8], integer: &[u8]) -> Vec<u8> {
    der::sequence(&[
        &der::unsigned(&[1]),
        &der::octet_string(integer),
        &der::element(tag::context(0), &[&der::oid(curve.oid())]),
        &der::element(tag::context(1), &[&der::bit_string(point)]),
    ])
}

/// What a reference file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The marker; it was made for `public`.
    pub marker: Marker,
    /// The public part.
    pub public: PublicPart,
}

/// A file that is no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReferencePemError {
    /// No private-key block, or one that is not base64.
    #[error("the file is not the PEM of a private key or of a key reference: {0}")]
    Pem(#[from] PemError),
    /// Not the DER of a private key.
    #[error("the file's content is damaged: {0}")]
    Der(#[from] DerError),
    /// Neither RSA nor EC on a supported named curve, or without a public part.
    #[error("the file is neither an RSA key nor an EC key on a supported named curve with its public point")]
    Algorithm,
    /// A private key, or a reference of another maker.
    #[error("the file holds no reference to a key in a Strongroom cluster; it may hold a real private key")]
    NotAReference,
    /// The marker was made for another public part.
    #[error("the file's public part and its key reference belong to different keys")]
    Mixed,
}

/// Reads a reference file in any of the forms that stock tools write: PKCS #1, SEC 1, PKCS #8.
pub fn decode(file: &Secret) -> Result<Reference, ReferencePemError> {
    let (public, integer) = match pem::decode_secret(RSA_LABEL, file) {
        Ok(der) => decode_rsa(der.expose())?,
        Err(PemError::Missing { .. }) => match pem::decode_secret(EC_LABEL, file) {
            Ok(der) => decode_ec(der.expose(), None)?,
            Err(PemError::Missing { .. }) => decode_pkcs8(pem::decode_secret(pem::PRIVATE_KEY, file)?.expose())?,
            Err(error) => return Err(error.into()),
        },
        Err(error) => return Err(error.into()),
    };
    let marker = integer.ok_or(ReferencePemError::NotAReference)?;
    if marker.matches(&public) { Ok(Reference { marker, public }) } else { Err(ReferencePemError::Mixed) }
}

/// The public part, and the marker when the private integer is one. A real private integer is not kept.
type Parts = (PublicPart, Option<Marker>);

fn decode_rsa(bytes: &[u8]) -> Result<Parts, ReferencePemError> {
    let mut outer = Reader::new(bytes);
    let mut key = outer.sequence()?;
    outer.finish()?;
    if !key.unsigned()?.is_empty() {
        return Err(ReferencePemError::Algorithm);
    }
    let modulus = key.unsigned()?.to_vec();
    let public_exponent = key.unsigned()?.to_vec();
    let marker = Marker::parse(key.unsigned()?);
    Ok((PublicPart::Rsa { modulus, public_exponent }, marker))
}

/// `curve` is the one that PKCS #8 names outside.
fn decode_ec(bytes: &[u8], curve: Option<Curve>) -> Result<Parts, ReferencePemError> {
    let mut outer = Reader::new(bytes);
    let mut key = outer.sequence()?;
    outer.finish()?;
    if key.unsigned()? != [1] {
        return Err(ReferencePemError::Algorithm);
    }
    let marker = Marker::parse(key.read(tag::OCTET_STRING)?);
    let inside = match key.peek() {
        Some(found) if found == tag::context(0) => Some(named_curve(key.read(tag::context(0))?)?),
        _ => None,
    };
    let curve = inside.or(curve).ok_or(ReferencePemError::Algorithm)?;
    if key.peek() != Some(tag::context(1)) {
        return Err(ReferencePemError::Algorithm);
    }
    let point = Reader::new(key.read(tag::context(1))?).bit_string()?.to_vec();
    Ok((PublicPart::Ec { curve, point }, marker))
}

fn named_curve(parameters: &[u8]) -> Result<Curve, ReferencePemError> {
    let oid = Reader::new(parameters).read(tag::OID).map_err(|_| ReferencePemError::Algorithm)?;
    Curve::WEIERSTRASS.into_iter().find(|curve| curve.oid() == oid).ok_or(ReferencePemError::Algorithm)
}

/// PrivateKeyInfo (RFC 5208 §5): version, algorithm, the key in its own form.
fn decode_pkcs8(bytes: &[u8]) -> Result<Parts, ReferencePemError> {
    let mut outer = Reader::new(bytes);
    let mut info = outer.sequence()?;
    outer.finish()?;
    info.unsigned()?;
    let mut algorithm = info.sequence()?;
    let key = info.read(tag::OCTET_STRING)?;
    algorithm.read(tag::OID)?;
    // RSA has NULL for parameters, EC the name of its curve.
    match algorithm.peek() {
        Some(tag::OID) => {
            let name = algorithm.read(tag::OID)?;
            let curve = Curve::WEIERSTRASS.into_iter().find(|curve| curve.oid() == name);
            decode_ec(key, Some(curve.ok_or(ReferencePemError::Algorithm)?))
        }
        Some(tag::NULL) => decode_rsa(key),
        _ => Err(ReferencePemError::Algorithm),
    }
}

#[cfg(test)]
mod tests;
