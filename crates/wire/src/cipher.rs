//! How data are encrypted and decrypted, from the fields of a message and back.

use strongroom_types::limits::DATA_LEN_MAX;
use strongroom_types::{CipherMechanism, GcmTag, KeyReference, RsaCipher};

use crate::convert::{Malformed, hash};
use crate::v1;

/// The fields of `Encrypt` and `Decrypt` that say how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fields {
    mechanism: i32,
    hash: i32,
    iv: Vec<u8>,
    aad: Vec<u8>,
    tag_bits: u32,
}

impl From<&CipherMechanism> for Fields {
    fn from(mechanism: &CipherMechanism) -> Fields {
        use v1::Mechanism as Number;
        let bare = |number: Number| Fields { mechanism: number.into(), ..Fields::default() };
        let with_iv = |number: Number, iv: &[u8]| Fields { iv: iv.to_vec(), ..bare(number) };
        match mechanism {
            CipherMechanism::AesCbc { iv } => with_iv(Number::AesCbc, iv),
            CipherMechanism::AesCtr { counter } => with_iv(Number::AesCtr, counter),
            CipherMechanism::AesEcb => bare(Number::AesEcb),
            CipherMechanism::AesGcm { tag, aad, iv } => Fields {
                aad: aad.clone(),
                tag_bits: tag.bits(),
                ..with_iv(Number::AesGcm, iv.as_ref().map_or(&[], |iv| iv.as_slice()))
            },
            CipherMechanism::Des3Cbc { iv } => with_iv(Number::Des3Cbc, iv),
            CipherMechanism::Des3Ecb => bare(Number::Des3Ecb),
            CipherMechanism::Rsa(RsaCipher::Pkcs) => bare(Number::RsaPkcs),
            CipherMechanism::Rsa(RsaCipher::Oaep { hash }) => {
                Fields { hash: v1::HashFunction::from(*hash).into(), ..bare(Number::RsaOaep) }
            }
            CipherMechanism::Rsa(RsaCipher::X509) => bare(Number::RsaX509),
        }
    }
}

impl Fields {
    /// Fields that the mechanism has no use for must be empty, so that one meaning has one form.
    fn read(self) -> Result<CipherMechanism, Malformed> {
        use v1::Mechanism as Number;
        let unknown = Malformed { field: "mechanism" };
        let number = Number::try_from(self.mechanism).map_err(|_| unknown)?;
        let (has_iv, is_gcm) = (
            matches!(number, Number::AesCbc | Number::AesCtr | Number::AesGcm | Number::Des3Cbc),
            number == Number::AesGcm,
        );
        let fits = (has_iv || self.iv.is_empty())
            && (is_gcm || (self.aad.is_empty() && self.tag_bits == 0))
            && (number == Number::RsaOaep || self.hash == 0);
        if !fits {
            return Err(Malformed { field: "parameters" });
        }
        match number {
            Number::AesCbc => Ok(CipherMechanism::AesCbc { iv: block(&self.iv)? }),
            Number::AesCtr => Ok(CipherMechanism::AesCtr { counter: block(&self.iv)? }),
            Number::AesEcb => Ok(CipherMechanism::AesEcb),
            Number::AesGcm => {
                let tag = GcmTag::of_bits(self.tag_bits).ok_or(Malformed { field: "tag_bits" })?;
                let iv = if self.iv.is_empty() { None } else { Some(block(&self.iv)?) };
                if self.aad.len() > DATA_LEN_MAX {
                    return Err(Malformed { field: "aad" });
                }
                Ok(CipherMechanism::AesGcm { tag, aad: self.aad, iv })
            }
            Number::Des3Cbc => Ok(CipherMechanism::Des3Cbc { iv: block(&self.iv)? }),
            Number::Des3Ecb => Ok(CipherMechanism::Des3Ecb),
            Number::RsaPkcs => Ok(CipherMechanism::Rsa(RsaCipher::Pkcs)),
            Number::RsaOaep => Ok(CipherMechanism::Rsa(RsaCipher::Oaep { hash: hash(self.hash)? })),
            Number::RsaX509 => Ok(CipherMechanism::Rsa(RsaCipher::X509)),
            Number::Unspecified
            | Number::RsaPkcsPss
            | Number::Ecdsa
            | Number::Ed25519
            | Number::Ed25519Ph
            | Number::MlDsa
            | Number::Hmac
            | Number::AesCmac => Err(unknown),
        }
    }
}

fn block<const N: usize>(iv: &[u8]) -> Result<[u8; N], Malformed> {
    iv.try_into().map_err(|_| Malformed { field: "iv" })
}

/// A request to encrypt `data`.
pub fn encrypt_message(key: KeyReference, mechanism: &CipherMechanism, data: &[u8]) -> v1::Encrypt {
    let Fields { mechanism, hash, iv, aad, tag_bits } = mechanism.into();
    v1::Encrypt { key: key.as_u64(), mechanism, hash, data: data.to_vec(), iv, aad, tag_bits }
}

/// A request to decrypt `data`.
pub fn decrypt_message(key: KeyReference, mechanism: &CipherMechanism, data: &[u8]) -> v1::Decrypt {
    let Fields { mechanism, hash, iv, aad, tag_bits } = mechanism.into();
    v1::Decrypt { key: key.as_u64(), mechanism, hash, data: data.to_vec(), iv, aad, tag_bits }
}

/// How a request encrypts; its parameters are taken out of it. It brings no initialisation vector for GCM.
pub fn encrypt_mechanism(message: &mut v1::Encrypt) -> Result<CipherMechanism, Malformed> {
    let (iv, aad) = (std::mem::take(&mut message.iv), std::mem::take(&mut message.aad));
    let fields = Fields { mechanism: message.mechanism, hash: message.hash, iv, aad, tag_bits: message.tag_bits };
    let mechanism = fields.read()?;
    match mechanism {
        CipherMechanism::AesGcm { iv: Some(_), .. } => Err(Malformed { field: "iv" }),
        mechanism => Ok(mechanism),
    }
}

/// How a request decrypts; its parameters are taken out of it. It brings the initialisation vector for GCM.
pub fn decrypt_mechanism(message: &mut v1::Decrypt) -> Result<CipherMechanism, Malformed> {
    let (iv, aad) = (std::mem::take(&mut message.iv), std::mem::take(&mut message.aad));
    let fields = Fields { mechanism: message.mechanism, hash: message.hash, iv, aad, tag_bits: message.tag_bits };
    let mechanism = fields.read()?;
    match mechanism {
        CipherMechanism::AesGcm { iv: None, .. } => Err(Malformed { field: "iv" }),
        mechanism => Ok(mechanism),
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::limits::{
        APPROVAL_SIGNATURES_MAX, APPROVALS_IN_REQUEST_MAX, CIPHER_DATA_LEN_MAX, FRAME_LEN_MAX, SESSION_KEY_LEN_MAX,
    };
    use strongroom_types::{HashFunction, Refusal, Status};

    use super::*;
    use crate::frame;

    fn key() -> KeyReference {
        KeyReference::from_u64(7).unwrap()
    }

    /// Each mechanism as it encrypts, with the field that it takes beside data.
    fn all() -> Vec<CipherMechanism> {
        let tag = GcmTag::of_bits(96).unwrap();
        let rsa = [RsaCipher::Pkcs, RsaCipher::Oaep { hash: HashFunction::Sha224 }, RsaCipher::X509];
        [
            CipherMechanism::AesCbc { iv: [1; 16] },
            CipherMechanism::AesCtr { counter: [2; 16] },
            CipherMechanism::AesEcb,
            CipherMechanism::AesGcm { tag, aad: vec![3; DATA_LEN_MAX], iv: None },
            CipherMechanism::Des3Cbc { iv: [4; 8] },
            CipherMechanism::Des3Ecb,
        ]
        .into_iter()
        .chain(rsa.map(CipherMechanism::Rsa))
        .collect()
    }

    fn with_iv(mechanism: CipherMechanism) -> CipherMechanism {
        match mechanism {
            CipherMechanism::AesGcm { tag, aad, .. } => CipherMechanism::AesGcm { tag, aad, iv: Some([5; 12]) },
            other => other,
        }
    }

    #[test]
    fn every_mechanism_reads_back_and_takes_no_parameter_it_does_not_have() {
        for mechanism in all() {
            let message = encrypt_message(key(), &mechanism, b"data");
            assert_eq!(encrypt_mechanism(&mut message.clone()), Ok(mechanism.clone()));
            let decrypts = with_iv(mechanism.clone());
            assert_eq!(decrypt_mechanism(&mut decrypt_message(key(), &decrypts, b"data")), Ok(decrypts));
            let parameters = Err(Malformed { field: "parameters" });
            let refused = |change: fn(&mut v1::Encrypt)| {
                let mut message = message.clone();
                change(&mut message);
                encrypt_mechanism(&mut message)
            };
            let is_gcm = matches!(mechanism, CipherMechanism::AesGcm { .. });
            if !is_gcm {
                assert_eq!(refused(|message| message.aad = vec![1]), parameters, "{mechanism:?}");
                assert_eq!(refused(|message| message.tag_bits = 96), parameters, "{mechanism:?}");
            }
            if !matches!(mechanism, CipherMechanism::Rsa(RsaCipher::Oaep { .. })) {
                assert_eq!(refused(|message| message.hash = 3), parameters, "{mechanism:?}");
            }
            let iv = if message.iv.is_empty() && !is_gcm { parameters } else { Err(Malformed { field: "iv" }) };
            assert_eq!(refused(|message| message.iv = vec![1; 15]), iv, "{mechanism:?}");
        }
    }

    #[test]
    fn gcm_takes_its_vector_from_the_hsm_and_gives_it_back() {
        let gcm = all().into_iter().find(|mechanism| matches!(mechanism, CipherMechanism::AesGcm { .. })).unwrap();
        let no = Malformed { field: "iv" };
        assert_eq!(encrypt_mechanism(&mut encrypt_message(key(), &with_iv(gcm.clone()), b"")), Err(no));
        assert_eq!(decrypt_mechanism(&mut decrypt_message(key(), &gcm, b"")), Err(no));
        assert_eq!(Refusal::from(no).status, Status::MechanismInvalid);
        let mut message = encrypt_message(key(), &gcm, b"");
        message.aad.push(3);
        assert_eq!(encrypt_mechanism(&mut message), Err(Malformed { field: "aad" }));
        let mut message = encrypt_message(key(), &gcm, b"");
        message.tag_bits = 32;
        assert_eq!(encrypt_mechanism(&mut message), Err(Malformed { field: "tag_bits" }));
    }

    #[test]
    fn other_numbers_encrypt_nothing() {
        for mechanism in [0, 2, 4, 6, 7, 8, 15, 16, 99, -1] {
            let mut message = v1::Encrypt { mechanism, ..v1::Encrypt::default() };
            assert_eq!(encrypt_mechanism(&mut message), Err(Malformed { field: "mechanism" }));
        }
        let mut oaep = v1::Encrypt { mechanism: v1::Mechanism::RsaOaep.into(), ..v1::Encrypt::default() };
        assert_eq!(encrypt_mechanism(&mut oaep), Err(Malformed { field: "hash" }));
    }

    /// The most that one request to encrypt carries fits a frame: approvals, a session key in its sealed form, additional
    /// data, data and a tag.
    #[test]
    fn the_longest_data_fit_a_frame() {
        let tag = GcmTag::of_bits(128).unwrap();
        let gcm = CipherMechanism::AesGcm { tag, aad: vec![1; DATA_LEN_MAX], iv: Some([2; 12]) };
        let message = decrypt_message(key(), &gcm, &vec![3; CIPHER_DATA_LEN_MAX + tag.bytes()]);
        let signature =
            v1::ApprovalSignature { user_name: "a".repeat(31), signature: vec![1; 256], ..Default::default() };
        let approval = v1::Approval { signatures: vec![signature; APPROVAL_SIGNATURES_MAX], ..v1::Approval::default() };
        let request = v1::Request {
            id: u64::MAX,
            deadline_ms: u32::MAX,
            seen_revision: u64::MAX,
            request_id: vec![4; 16],
            session_keys: vec![v1::SessionKey { reference: u64::MAX, sealed: vec![5; SESSION_KEY_LEN_MAX] }],
            approvals: vec![approval; APPROVALS_IN_REQUEST_MAX],
            operation: Some(v1::request::Operation::Decrypt(message)),
        };
        let mut buffer = Vec::new();
        frame::encode(&request, &mut buffer).unwrap();
        // What approvals sign is short.
        assert!(buffer.len() + 4 * 1024 < FRAME_LEN_MAX, "{}", buffer.len());
    }
}
