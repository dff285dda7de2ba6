use serde_json::{Value, json};
use strongroom_client::{Client, KeyInfo};
use strongroom_crypto::digest::{digest, digest_info, parse_digest_info};
use strongroom_crypto::ml_dsa::{MU_LEN, mu};
use strongroom_types::limits::ED25519_DATA_LEN_MAX;
use strongroom_types::{HashFunction, KeyReference, PublicPart, SignMechanism};

use super::quorum::approved;
use super::{Outcome, single};
use crate::arguments::{Approval, Crypto, DataType, Input, MuType, Pss, Sign, Signature, SigningKey, Verify};
use crate::error::ExpectedError;
use crate::{files, output};

/// `crypto …`.
pub fn run(client: &Client, command: Crypto) -> Outcome {
    match command {
        Crypto::Sign(Sign::Ecdsa { what, approval }) => sign(client, (what, &approval), &Scheme::Ecdsa),
        Crypto::Sign(Sign::Ed25519 { what, approval }) => sign_whole(client, (what, &approval), WholeScheme::Ed25519),
        Crypto::Sign(Sign::Ed25519ph { what, hashed, approval }) => {
            sign_whole(client, (what, &approval), WholeScheme::Ed25519ph(hashed.data_type))
        }
        Crypto::Sign(Sign::MlDsa { what, hashed, approval }) => {
            sign_whole(client, (what, &approval), WholeScheme::MlDsa(hashed.data_type))
        }
        Crypto::Sign(Sign::RsaPkcs { what, approval }) => sign(client, (what, &approval), &Scheme::RsaPkcs),
        Crypto::Sign(Sign::RsaPkcsPss { what, pss, approval }) => {
            sign(client, (what, &approval), &Scheme::RsaPkcsPss(pss))
        }
        Crypto::Verify(Verify::Ecdsa { what, signature }) => verify(client, what, &Scheme::Ecdsa, signature),
        Crypto::Verify(Verify::Ed25519 { what, signature }) => {
            verify_whole(client, what, WholeScheme::Ed25519, signature)
        }
        Crypto::Verify(Verify::Ed25519ph { what, hashed, signature }) => {
            verify_whole(client, what, WholeScheme::Ed25519ph(hashed.data_type), signature)
        }
        Crypto::Verify(Verify::MlDsa { what, hashed, signature }) => {
            verify_whole(client, what, WholeScheme::MlDsa(hashed.data_type), signature)
        }
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

/// How a signature is made by an algorithm that has its own hash function.
#[derive(Clone, Copy)]
enum WholeScheme {
    Ed25519,
    Ed25519ph(DataType),
    MlDsa(MuType),
}

impl WholeScheme {
    fn mechanism(self) -> SignMechanism {
        match self {
            WholeScheme::Ed25519 => SignMechanism::Ed25519,
            WholeScheme::Ed25519ph(_) => SignMechanism::Ed25519Ph,
            WholeScheme::MlDsa(_) => SignMechanism::MlDsa,
        }
    }

    /// Whether the data can be signed at all, before anything is asked of the cluster.
    fn check(self, data: &[u8]) -> Result<(), ExpectedError> {
        let (hash, found) = (HashFunction::Sha512, data.len());
        match self {
            WholeScheme::Ed25519 if found > ED25519_DATA_LEN_MAX => Err(ExpectedError::MessageLength(found)),
            WholeScheme::Ed25519ph(DataType::Digest) if found != hash.digest_len() => {
                Err(ExpectedError::DigestLength { hash, expected: hash.digest_len(), found })
            }
            WholeScheme::MlDsa(MuType::ExternalMu) if found != MU_LEN => Err(ExpectedError::MuLength(found)),
            _ => Ok(()),
        }
    }

    /// What the HSM signs. None when the key is of another type than the scheme's.
    fn input(self, data: Vec<u8>, key: &KeyInfo) -> Option<Vec<u8>> {
        match (self, &key.attributes.public) {
            (WholeScheme::MlDsa(MuType::Raw), Some(PublicPart::MlDsa { key, .. })) => Some(mu(key, &data).to_vec()),
            (WholeScheme::MlDsa(MuType::Raw), _) => None,
            (WholeScheme::Ed25519ph(DataType::Raw), _) => Some(digest(HashFunction::Sha512, &data)),
            (
                WholeScheme::Ed25519
                | WholeScheme::Ed25519ph(DataType::Digest)
                | WholeScheme::MlDsa(MuType::ExternalMu),
                _,
            ) => Some(data),
        }
    }

    /// The key, and what is signed or verified with it. Of a key without such an input the HSM says what is wrong: the
    /// type does not fit, whatever the data.
    fn prepared(self, client: &Client, what: Input) -> Result<(KeyReference, Vec<u8>), ExpectedError> {
        let data = files::bytes(what.data.data, what.data.data_path.as_deref())?;
        self.check(&data)?;
        let key = single(client, what.key_filter)?;
        let input = self.input(data, &key).unwrap_or_else(|| vec![0; MU_LEN]);
        Ok((key.reference, input))
    }
}

fn sign_whole(client: &Client, (what, approval): (Input, &Approval), scheme: WholeScheme) -> Outcome {
    let (key, input) = scheme.prepared(client, what)?;
    Ok(signed(key, &approved(client, approval)?.sign(key, scheme.mechanism(), &input)?))
}

fn verify_whole(client: &Client, what: Input, scheme: WholeScheme, signature: Signature) -> Outcome {
    let signature = files::bytes(signature.signature, signature.signature_path.as_deref())?;
    let (key, input) = scheme.prepared(client, what)?;
    client.verify(key, scheme.mechanism(), &input, &signature)?;
    Ok(verified())
}

fn signed(key: KeyReference, signature: &[u8]) -> Value {
    json!({ "key-reference": key.to_string(), "signature": files::encode(signature) })
}

fn verified() -> Value {
    output::message("Signature verified successfully")
}

/// Mechanism and input, before anything is asked of the cluster.
fn prepared(what: &SigningKey, scheme: &Scheme) -> Result<(SignMechanism, Vec<u8>), ExpectedError> {
    let hash = HashFunction::from(what.hash_function);
    let mechanism = scheme.mechanism(hash)?;
    let data = files::bytes(what.data.data.clone(), what.data.data_path.as_deref())?;
    Ok((mechanism, scheme.input(hash, data, what.data_type)?))
}

fn sign(client: &Client, (what, approval): (SigningKey, &Approval), scheme: &Scheme) -> Outcome {
    let (mechanism, input) = prepared(&what, scheme)?;
    check_signable(mechanism, what.hash_function.into(), &input)?;
    let key = single(client, what.key_filter)?.reference;
    Ok(signed(key, &approved(client, approval)?.sign(key, mechanism, &input)?))
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
    Ok(verified())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use strongroom_types::{Attributes, Curve, Flags, KeyClass, KeyType, MlDsaAlgorithm, Revision};

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
    fn data_of_a_length_that_nothing_signs_is_refused_here() {
        let check = |scheme: WholeScheme, len: usize, fits: bool| {
            assert_eq!(scheme.check(&vec![7; len]).is_ok(), fits, "{:?} {len}", scheme.mechanism());
        };
        for len in [0, 1, 16_000] {
            check(WholeScheme::Ed25519, len, true);
        }
        check(WholeScheme::Ed25519, 16_001, false);
        for len in [0, 63, 64, 65, 100_000] {
            check(WholeScheme::Ed25519ph(DataType::Raw), len, true);
            check(WholeScheme::MlDsa(MuType::Raw), len, true);
            check(WholeScheme::Ed25519ph(DataType::Digest), len, len == 64);
            check(WholeScheme::MlDsa(MuType::ExternalMu), len, len == 64);
        }
    }

    #[test]
    fn messages_are_hashed_here_but_for_pure_ed25519() {
        let key = |public| KeyInfo {
            reference: KeyReference::from_u64(1).expect("a reference"),
            attributes: Attributes {
                class: KeyClass::PrivateKey,
                key_type: KeyType::MlDsa,
                label: String::new(),
                id: Vec::new(),
                check_value: None,
                flags: Flags::NONE,
                length_bytes: 2560,
                public: Some(public),
                templates: strongroom_types::KeyTemplates::NONE,
            },
            owner: "ana".parse().expect("a name"),
            shared_with: Vec::new(),
            revision: Revision(1),
            quorum: strongroom_types::KeyQuorum::NONE,
        };
        let ml_dsa = key(PublicPart::MlDsa { algorithm: MlDsaAlgorithm::MlDsa44, key: vec![7; 1312] });
        let ed25519 = key(PublicPart::Ec { curve: Curve::Ed25519, point: vec![7; 32] });
        let input = |scheme: WholeScheme, key| scheme.input(b"m".to_vec(), key);
        assert_eq!(input(WholeScheme::Ed25519, &ed25519).as_deref(), Some(&b"m"[..]));
        let hashed = digest(HashFunction::Sha512, b"m");
        assert_eq!(input(WholeScheme::Ed25519ph(DataType::Raw), &ed25519), Some(hashed));
        assert_eq!(input(WholeScheme::Ed25519ph(DataType::Digest), &ed25519).as_deref(), Some(&b"m"[..]));
        let expected = mu(&[7; 1312], b"m");
        assert_eq!(input(WholeScheme::MlDsa(MuType::Raw), &ml_dsa).as_deref(), Some(&expected[..]));
        assert_eq!(input(WholeScheme::MlDsa(MuType::ExternalMu), &ml_dsa).as_deref(), Some(&b"m"[..]));
        assert_eq!(input(WholeScheme::MlDsa(MuType::Raw), &ed25519), None);
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
