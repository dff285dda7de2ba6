use serde_json::json;
use strongroom_client::Client;
use strongroom_crypto::digest::{digest, digest_info};
use strongroom_types::{HashFunction, SignMechanism};

use super::{Outcome, single};
use crate::arguments::{Crypto, DataType, Mgf, Sign, Signature, SigningKey, Verify};
use crate::error::ExpectedError;
use crate::{files, output};

/// `crypto …`.
pub fn run(client: &Client, command: Crypto) -> Outcome {
    match command {
        Crypto::Sign(Sign::Ecdsa { what }) => sign(client, what, &Scheme::Ecdsa),
        Crypto::Sign(Sign::RsaPkcs { what }) => sign(client, what, &Scheme::RsaPkcs),
        Crypto::Sign(Sign::RsaPkcsPss { what, mgf, salt_length }) => {
            sign(client, what, &Scheme::RsaPkcsPss { mgf, salt_length })
        }
        Crypto::Verify(Verify::Ecdsa { what, signature }) => verify(client, what, &Scheme::Ecdsa, signature),
        Crypto::Verify(Verify::RsaPkcs { what, signature }) => verify(client, what, &Scheme::RsaPkcs, signature),
        Crypto::Verify(Verify::RsaPkcsPss { what, mgf, salt_length, signature }) => {
            verify(client, what, &Scheme::RsaPkcsPss { mgf, salt_length }, signature)
        }
    }
}

/// How a signature is made, as the command line says it.
enum Scheme {
    Ecdsa,
    RsaPkcs,
    RsaPkcsPss { mgf: Mgf, salt_length: u16 },
}

impl Scheme {
    fn mechanism(&self, hash: HashFunction) -> Result<SignMechanism, ExpectedError> {
        match self {
            Scheme::Ecdsa => Ok(SignMechanism::Ecdsa),
            Scheme::RsaPkcs => Ok(SignMechanism::RsaPkcs),
            Scheme::RsaPkcsPss { mgf, .. } if HashFunction::from(*mgf) != hash => Err(ExpectedError::Mgf(hash)),
            Scheme::RsaPkcsPss { salt_length, .. } => Ok(SignMechanism::RsaPkcsPss { hash, salt_len: *salt_length }),
        }
    }

    /// What the HSM signs: the message is hashed here.
    fn input(&self, hash: HashFunction, data: Vec<u8>, data_type: DataType) -> Result<Vec<u8>, ExpectedError> {
        match (self, data_type) {
            (Scheme::RsaPkcs, DataType::Raw) => Ok(digest_info(hash, &digest(hash, &data))),
            // The DigestInfo, which says itself what it is.
            (Scheme::RsaPkcs, DataType::Digest) => Ok(data),
            (Scheme::Ecdsa | Scheme::RsaPkcsPss { .. }, DataType::Raw) => Ok(digest(hash, &data)),
            (Scheme::Ecdsa | Scheme::RsaPkcsPss { .. }, DataType::Digest) if data.len() == hash.digest_len() => {
                Ok(data)
            }
            (Scheme::Ecdsa | Scheme::RsaPkcsPss { .. }, DataType::Digest) => {
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
    let key = single(client, what.key_filter)?.reference;
    let signature = client.sign(key, mechanism, &input)?;
    Ok(json!({ "key-reference": key.to_string(), "signature": files::encode(&signature) }))
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
        let pss = Scheme::RsaPkcsPss { mgf: Mgf::Sha256, salt_length: 20 };
        check(&pss, b"m", DataType::Raw, Some(hashed));
        assert_eq!(pss.mechanism(hash).ok(), Some(SignMechanism::RsaPkcsPss { hash, salt_len: 20 }));
        assert!(matches!(pss.mechanism(HashFunction::Sha1), Err(ExpectedError::Mgf(HashFunction::Sha1))));
    }
}
