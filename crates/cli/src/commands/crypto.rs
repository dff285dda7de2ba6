use serde_json::json;
use strongroom_client::Client;
use strongroom_crypto::digest::{digest, digest_info, parse_digest_info};
use strongroom_types::{HashFunction, SignMechanism};

use super::{Outcome, single};
use crate::arguments::{Crypto, DataType, Pss, Sign, Signature, SigningKey, Verify};
use crate::error::ExpectedError;
use crate::{files, output};

/// `crypto …`.
pub fn run(client: &Client, command: Crypto) -> Outcome {
    match command {
        Crypto::Sign(Sign::Ecdsa { what }) => sign(client, what, &Scheme::Ecdsa),
        Crypto::Sign(Sign::RsaPkcs { what }) => sign(client, what, &Scheme::RsaPkcs),
        Crypto::Sign(Sign::RsaPkcsPss { what, pss }) => sign(client, what, &Scheme::RsaPkcsPss(pss)),
        Crypto::Verify(Verify::Ecdsa { what, signature }) => verify(client, what, &Scheme::Ecdsa, signature),
        Crypto::Verify(Verify::RsaPkcs { what, signature }) => verify(client, what, &Scheme::RsaPkcs, signature),
        Crypto::Verify(Verify::RsaPkcsPss { what, pss, signature }) => {
            verify(client, what, &Scheme::RsaPkcsPss(pss), signature)
        }
    }
}

/// How a signature is made, as the command line says it.
enum Scheme {
    Ecdsa,
    RsaPkcs,
    RsaPkcsPss(Pss),
}

impl Scheme {
    fn mechanism(&self, hash: HashFunction) -> Result<SignMechanism, ExpectedError> {
        match self {
            Scheme::Ecdsa => Ok(SignMechanism::Ecdsa),
            Scheme::RsaPkcs => Ok(SignMechanism::RsaPkcs),
            Scheme::RsaPkcsPss(pss) if HashFunction::from(pss.mgf) != hash => Err(ExpectedError::Mgf(hash)),
            Scheme::RsaPkcsPss(pss) => Ok(SignMechanism::RsaPkcsPss { hash, salt_len: pss.salt_length }),
        }
    }

    /// What the HSM signs: the message is hashed here.
    fn input(&self, hash: HashFunction, data: Vec<u8>, data_type: DataType) -> Result<Vec<u8>, ExpectedError> {
        match (self, data_type) {
            (Scheme::RsaPkcs, DataType::Raw) => Ok(digest_info(hash, &digest(hash, &data))),
            // The DigestInfo, which says itself what it is.
            (Scheme::RsaPkcs, DataType::Digest) => Ok(data),
            (Scheme::Ecdsa | Scheme::RsaPkcsPss(_), DataType::Raw) => Ok(digest(hash, &data)),
            (Scheme::Ecdsa | Scheme::RsaPkcsPss(_), DataType::Digest) if data.len() == hash.digest_len() => Ok(data),
            (Scheme::Ecdsa | Scheme::RsaPkcsPss(_), DataType::Digest) => {
                Err(ExpectedError::DigestLength { hash, expected: hash.digest_len(), found: data.len() })
            }
        }
    }
}

/// Mechanism and input, before anything is asked of the cluster.
fn prepared(what: &SigningKey, scheme: &Scheme) -> Result<(SignMechanism, Vec<u8>), ExpectedError> {
    let hash = HashFunction::from(what.hash_function);
    let mechanism = scheme.mechanism(hash)?;
    let data = files::bytes(what.data.data.clone(), what.data.data_path.as_deref())?;
    Ok((mechanism, scheme.input(hash, data, what.data_type)?))
}

fn sign(client: &Client, what: SigningKey, scheme: &Scheme) -> Outcome {
    let (mechanism, input) = prepared(&what, scheme)?;
    check_signable(mechanism, what.hash_function.into(), &input)?;
    let key = single(client, what.key_filter)?.reference;
    let signature = client.sign(key, mechanism, &input)?;
    Ok(json!({ "key-reference": key.to_string(), "signature": files::encode(&signature) }))
}

/// Nobody's verification takes a bare digest where a DigestInfo must be, so none is signed as one.
fn check_signable(mechanism: SignMechanism, hash: HashFunction, input: &[u8]) -> Result<(), ExpectedError> {
    match (mechanism, parse_digest_info(input)) {
        (SignMechanism::RsaPkcs, Some((found, _))) if found == hash => Ok(()),
        (SignMechanism::RsaPkcs, _) => Err(ExpectedError::DigestInfo(hash)),
        (
            SignMechanism::Ecdsa
            | SignMechanism::Ed25519
            | SignMechanism::Ed25519Ph
            | SignMechanism::MlDsa
            | SignMechanism::RsaPkcsPss { .. }
            | SignMechanism::RsaX509,
            _,
        ) => Ok(()),
    }
}

fn verify(client: &Client, what: SigningKey, scheme: &Scheme, signature: Signature) -> Outcome {
    let (mechanism, input) = prepared(&what, scheme)?;
    let signature = files::bytes(signature.signature, signature.signature_path.as_deref())?;
    let key = single(client, what.key_filter)?.reference;
    client.verify(key, mechanism, &input, &signature)?;
    Ok(output::message("Signature verified successfully"))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn raw_data_is_hashed_and_digests_are_taken_as_they_are() {
        let hash = HashFunction::Sha256;
        let hashed = digest(hash, b"m");
        let check = |scheme: &Scheme, data: &[u8], data_type, expected: Option<Vec<u8>>| {
            assert_eq!(scheme.input(hash, data.to_vec(), data_type).ok(), expected);
        };
        check(&Scheme::Ecdsa, b"m", DataType::Raw, Some(hashed.clone()));
        check(&Scheme::Ecdsa, &hashed, DataType::Digest, Some(hashed.clone()));
        check(&Scheme::Ecdsa, b"m", DataType::Digest, None);
        check(&Scheme::RsaPkcs, b"m", DataType::Raw, Some(digest_info(hash, &hashed)));
        check(&Scheme::RsaPkcs, b"any", DataType::Digest, Some(b"any".to_vec()));
        let pss = Scheme::RsaPkcsPss(Pss {
            mgf: ValueEnum::from_str("mgf1-sha256", false).expect("a name"),
            salt_length: 20,
        });
        check(&pss, b"m", DataType::Raw, Some(hashed));
        assert_eq!(pss.mechanism(hash).ok(), Some(SignMechanism::RsaPkcsPss { hash, salt_len: 20 }));
        assert!(matches!(pss.mechanism(HashFunction::Sha1), Err(ExpectedError::Mgf(HashFunction::Sha1))));
    }

    #[test]
    fn only_a_digest_info_of_the_named_hash_is_signed_with_pkcs1() {
        let hash = HashFunction::Sha256;
        let hashed = digest(hash, b"m");
        let info = digest_info(hash, &hashed);
        let good = |mechanism, hash, input: &[u8]| check_signable(mechanism, hash, input).is_ok();
        assert!(good(SignMechanism::RsaPkcs, hash, &info));
        assert!(!good(SignMechanism::RsaPkcs, hash, &hashed));
        assert!(!good(SignMechanism::RsaPkcs, hash, b""));
        assert!(!good(SignMechanism::RsaPkcs, HashFunction::Sha384, &info));
        for len in 0..info.len() {
            assert!(!good(SignMechanism::RsaPkcs, hash, &info[..len]), "{len}");
        }
        assert!(good(SignMechanism::Ecdsa, hash, &hashed));
    }
}
