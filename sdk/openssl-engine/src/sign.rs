//! Private operations in the HSMs.

use strongroom_client::reference_pem::Marker;
use strongroom_crypto::ecdsa;
use strongroom_types::{PublicPart, RsaCipher, Secret, SignMechanism};

use crate::error::EngineError;
use crate::hsms::Hsms;
use crate::keys::KnownKeys;

/// `RSA_PKCS1_PADDING`: PKCS #1 v1.5.
pub(crate) const PKCS1_PADDING: i32 = 1;
/// `RSA_NO_PADDING`: a whole block. libcrypto does PSS and OAEP itself around it.
pub(crate) const NO_PADDING: i32 = 3;

/// A key as a private operation finds it.
pub(crate) struct Key<'a> {
    /// The public part.
    pub(crate) public: &'a PublicPart,
    /// What stands for its private integer, if it is a marker.
    pub(crate) marker: Option<Marker>,
}

/// RSA signature of `data`, as long as the modulus: a DigestInfo for padding 1, a block for padding 3.
pub(crate) fn rsa(
    hsms: &impl Hsms,
    known: &KnownKeys,
    key: &Key<'_>,
    padding: i32,
    data: &[u8],
) -> Result<Vec<u8>, EngineError> {
    let mechanism = match padding {
        PKCS1_PADDING => SignMechanism::RsaPkcs,
        NO_PADDING => SignMechanism::RsaX509,
        other => return Err(EngineError::SignPadding(other)),
    };
    let signature = known.with_key(hsms, key.public, key.marker, |reference| hsms.sign(reference, mechanism, data))?;
    let whole = modulus_len(key.public)? == signature.len();
    if whole { Ok(signature) } else { Err(EngineError::Answer("the signature is not as long as the modulus")) }
}

/// The block inside a ciphertext, as long as the modulus. libcrypto takes OAEP off.
///
/// Only whole blocks: PKCS #1 v1.5 would come here with the check of its padding to be done, and an error or the time of
/// an error there tells plaintexts to whoever may ask often (Bleichenbacher).
pub(crate) fn rsa_decrypt(
    hsms: &impl Hsms,
    known: &KnownKeys,
    key: &Key<'_>,
    padding: i32,
    data: &[u8],
) -> Result<Secret, EngineError> {
    if padding != NO_PADDING {
        return Err(EngineError::DecryptPadding(padding));
    }
    let operation = |reference| hsms.decrypt(reference, RsaCipher::X509, data);
    let block = known.with_key(hsms, key.public, key.marker, operation)?;
    let whole = modulus_len(key.public)? == block.len();
    if whole { Ok(block) } else { Err(EngineError::Answer("the block is not as long as the modulus")) }
}

/// ECDSA signature of a digest, in DER.
pub(crate) fn ecdsa(hsms: &impl Hsms, known: &KnownKeys, key: &Key<'_>, digest: &[u8]) -> Result<Vec<u8>, EngineError> {
    let PublicPart::Ec { curve, .. } = key.public else { return Err(EngineError::KeyIncomplete("point")) };
    let operation = |reference| hsms.sign(reference, SignMechanism::Ecdsa, digest);
    let raw = known.with_key(hsms, key.public, key.marker, operation)?;
    let form = EngineError::Answer("the signature is not one of the key's curve");
    if raw.len() == 2 * curve.field_len() { ecdsa::raw_to_der(&raw).ok_or(form) } else { Err(form) }
}

fn modulus_len(public: &PublicPart) -> Result<usize, EngineError> {
    match public {
        PublicPart::Rsa { modulus, .. } => Ok(modulus.len()),
        PublicPart::Ec { .. } | PublicPart::MlDsa { .. } => Err(EngineError::KeyIncomplete("modulus")),
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::Curve;

    use super::*;
    use crate::hsms::fake::{self, Fake, reference};

    fn modulus() -> PublicPart {
        PublicPart::Rsa { modulus: vec![0x91; 256], public_exponent: vec![1, 0, 1] }
    }

    fn point() -> PublicPart {
        PublicPart::Ec { curve: Curve::P256, point: vec![4; 65] }
    }

    fn with(public: &PublicPart, answer: &[u8]) -> Fake {
        Fake { keys: vec![fake::key(5, public, true)].into(), answer: answer.to_vec(), ..Fake::default() }
    }

    fn line<T>(outcome: Result<T, EngineError>) -> Result<T, String> {
        outcome.map_err(|error| error.line())
    }

    #[test]
    fn paddings_are_the_mechanisms_that_take_the_data_as_it_is() {
        let public = modulus();
        let key = Key { public: &public, marker: Some(Marker::new(reference(5), &public)) };
        let check = |padding, expected: Option<&str>| {
            let hsms = with(&public, &[7; 256]);
            let outcome = line(rsa(&hsms, &KnownKeys::default(), &key, padding, b"DigestInfo"));
            let asked = hsms.asked.borrow();
            match expected {
                Some(mechanism) => {
                    assert_eq!(outcome, Ok(vec![7; 256]));
                    assert_eq!(*asked, [(reference(5), mechanism.to_owned(), b"DigestInfo".to_vec())]);
                }
                None => {
                    assert!(outcome.unwrap_err().contains("padding"), "{padding}");
                    assert!(asked.is_empty());
                }
            }
        };
        check(1, Some("RsaPkcs"));
        check(3, Some("RsaX509"));
        // SSLv23, OAEP, X9.31, PSS, and what is none.
        for padding in [2, 4, 5, 6, 0, -1] {
            check(padding, None);
        }
    }

    #[test]
    fn only_whole_blocks_are_decrypted() {
        let public = modulus();
        let key = Key { public: &public, marker: None };
        let hsms = with(&public, &[7; 256]);
        let known = KnownKeys::default();
        let block = rsa_decrypt(&hsms, &known, &key, 3, &[1; 256]).unwrap();
        assert_eq!(block.expose(), [7; 256]);
        assert_eq!(hsms.asked.borrow()[0].1, "X509");
        for padding in [1, 4, 7] {
            let error = line(rsa_decrypt(&hsms, &known, &key, padding, &[1; 256]).map(|_| ())).unwrap_err();
            assert!(error.starts_with("decryption with this padding is not supported"), "{error}");
        }
        assert_eq!(hsms.asked.borrow().len(), 1);
    }

    #[test]
    fn answers_of_the_wrong_length_are_not_passed_on() {
        let public = modulus();
        let key = Key { public: &public, marker: None };
        for len in [0, 255, 257] {
            let hsms = with(&public, &vec![7; len]);
            assert!(line(rsa(&hsms, &KnownKeys::default(), &key, 1, b"x")).unwrap_err().contains("modulus"));
            assert!(rsa_decrypt(&hsms, &KnownKeys::default(), &key, 3, b"x").is_err());
        }
        let public = point();
        let key = Key { public: &public, marker: None };
        for len in [0, 63, 65, 96] {
            let hsms = with(&public, &vec![7; len]);
            assert!(line(ecdsa(&hsms, &KnownKeys::default(), &key, b"x")).unwrap_err().contains("curve"), "{len}");
        }
    }

    #[test]
    fn ecdsa_signatures_become_der() {
        let public = point();
        let key = Key { public: &public, marker: None };
        let hsms = with(&public, &[0x11; 64]);
        let der = ecdsa(&hsms, &KnownKeys::default(), &key, &[9; 32]).unwrap();
        assert_eq!(strongroom_crypto::ecdsa::der_to_raw(&der, Curve::P256), Some(vec![0x11; 64]));
        assert_eq!(*hsms.asked.borrow(), [(reference(5), "Ecdsa".to_owned(), vec![9; 32])]);
    }
}
