//! Certificate requests (PKCS #10, RFC 2986).

use strongroom_crypto::certificates::Name;
use strongroom_crypto::der::{self, tag};
use strongroom_crypto::digest::{digest, digest_info};
use strongroom_crypto::{ecdsa, spki};
use strongroom_types::{Curve, HashFunction, PublicPart, Secret, SignMechanism};

use crate::{KeyError, PrivateKey};

/// `sha256WithRSAEncryption`, RFC 8017 §A.2.4.
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
/// `ecdsa-with-SHA256`, `-SHA384`, `-SHA512`, RFC 5758 §3.2.
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const ECDSA_WITH_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];

/// The DER of a version 1 request for `subject`, without attributes, signed by the key it is for.
pub fn request(pkcs8: &Secret, subject: &Name) -> Result<Vec<u8>, KeyError> {
    let key = PrivateKey::from_pkcs8(pkcs8)?;
    let no_attributes = der::element(tag::context(0), &[]);
    let info = der::sequence(&[&der::unsigned(&[]), subject.der(), &spki::encode(key.public()), &no_attributes]);
    let (algorithm, signature) = match key.public() {
        PublicPart::Rsa { .. } => {
            let hash = HashFunction::Sha256;
            let info = digest_info(hash, &digest(hash, &info));
            let algorithm = der::sequence(&[&der::oid(SHA256_WITH_RSA), &der::NULL]);
            (algorithm, key.sign(SignMechanism::RsaPkcs, &info)?)
        }
        PublicPart::MlDsa { .. } => return Err(KeyError::KeyType),
        PublicPart::Ec { curve, .. } => {
            let (oid, hash) = match curve {
                Curve::Ed25519 => return Err(KeyError::KeyType),
                Curve::P224 | Curve::P256 | Curve::Secp256k1 => (ECDSA_WITH_SHA256, HashFunction::Sha256),
                Curve::P384 => (ECDSA_WITH_SHA384, HashFunction::Sha384),
                Curve::P521 => (ECDSA_WITH_SHA512, HashFunction::Sha512),
            };
            let raw = key.sign(SignMechanism::Ecdsa, &digest(hash, &info))?;
            (der::sequence(&[&der::oid(oid)]), ecdsa::raw_to_der(&raw).expect("r and s have the same length"))
        }
    };
    Ok(der::sequence(&[&info, &algorithm, &der::bit_string(&signature)]))
}
