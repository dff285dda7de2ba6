//! A cluster that computes something as simple as it is checkable, and remembers what it was asked.
//!
//! Its block cipher adds one to each byte. Chaining and counting around it are those of SP 800-38A, so a state that cuts data
//! otherwise than it should gives other bytes.

use std::cell::RefCell;

use strongroom_client::{ClientError, Encrypted, KeyInfo};
use strongroom_types::{
    Attributes, CipherMechanism, Curve, Flag, Flags, GCM_IV_LEN, KeyClass, KeyQuorum, KeyReference, KeyTemplates,
    KeyType, MacMechanism, MlDsaAlgorithm, PublicPart, Refusal, Revision, Secret, SignMechanism, Status,
};

use super::Hsms;
use crate::objects::Entry;

/// The initialisation vector that it draws.
pub(crate) const IV: [u8; GCM_IV_LEN] = [0x77; GCM_IV_LEN];

/// See the module.
#[derive(Default)]
pub(crate) struct Fake {
    /// What it was asked, and with how many bytes.
    pub(crate) asked: RefCell<Vec<(String, Vec<u8>)>>,
    /// What it signs with, in place of what is right.
    pub(crate) answer: Option<Vec<u8>>,
    /// What it refuses everything with.
    pub(crate) refusal: Option<Status>,
}

impl Fake {
    fn note(&self, mechanism: impl std::fmt::Debug, data: &[u8]) -> Result<(), ClientError> {
        self.asked.borrow_mut().push((format!("{mechanism:?}"), data.to_vec()));
        self.refusal.map_or(Ok(()), refused)
    }

    /// How often it was asked.
    pub(crate) fn requests(&self) -> usize {
        self.asked.borrow().len()
    }

    fn signature(&self, data: &[u8], len: usize) -> Vec<u8> {
        let made = data.iter().copied().chain(std::iter::repeat(0xee)).take(len).collect();
        self.answer.clone().unwrap_or(made)
    }
}

fn refused(status: Status) -> Result<(), ClientError> {
    Err(ClientError::Refused(Refusal::from(status)))
}

/// Length of a signature by the keys that [`key`] makes.
fn signature_len(mechanism: SignMechanism) -> usize {
    match mechanism {
        SignMechanism::RsaPkcs | SignMechanism::RsaPkcsPss { .. } | SignMechanism::RsaX509 => 256,
        SignMechanism::Ecdsa | SignMechanism::Ed25519 | SignMechanism::Ed25519Ph => 64,
        SignMechanism::MlDsa => 2420,
    }
}

impl Hsms for Fake {
    fn sign(&self, _: Entry, mechanism: SignMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.note(mechanism, data)?;
        Ok(self.signature(data, signature_len(mechanism)))
    }

    fn verify(&self, _: Entry, mechanism: SignMechanism, data: &[u8], made: &[u8]) -> Result<(), ClientError> {
        self.note(mechanism, data)?;
        let is_right = made == self.signature(data, signature_len(mechanism));
        if is_right { Ok(()) } else { refused(Status::SignatureInvalid) }
    }

    fn mac(&self, _: Entry, mechanism: MacMechanism, data: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.note(mechanism, data)?;
        Ok(self.signature(data, mechanism.mac_len()))
    }

    fn verify_mac(&self, _: Entry, mechanism: MacMechanism, data: &[u8], mac: &[u8]) -> Result<(), ClientError> {
        self.note(mechanism, data)?;
        if mac == self.signature(data, mechanism.mac_len()) { Ok(()) } else { refused(Status::SignatureInvalid) }
    }

    fn encrypt(&self, _: Entry, mechanism: &CipherMechanism, data: &[u8]) -> Result<Encrypted, ClientError> {
        self.note(mechanism, data)?;
        let (iv, data) = match mechanism {
            CipherMechanism::AesGcm { tag, aad, iv } => {
                assert_eq!(*iv, None, "the HSM draws it");
                (IV.to_vec(), [data, &tag_of(data, aad, tag.bytes())].concat())
            }
            CipherMechanism::Rsa(_) => (Vec::new(), [data, &vec![0xaa; 256 - data.len()]].concat()),
            blocks => (Vec::new(), run(blocks, data, true)),
        };
        Ok(Encrypted { iv, data })
    }

    fn decrypt(&self, _: Entry, mechanism: &CipherMechanism, data: &[u8]) -> Result<Secret, ClientError> {
        self.note(mechanism, data)?;
        match mechanism {
            CipherMechanism::AesGcm { tag, aad, iv } => {
                let (plain, found) = data.split_at(data.len() - tag.bytes());
                let is_right = *iv == Some(IV) && found == tag_of(plain, aad, tag.bytes());
                if !is_right {
                    refused(Status::DecryptionFailed)?;
                }
                Ok(Secret::from(plain))
            }
            CipherMechanism::Rsa(_) => Ok(Secret::new(data.iter().copied().take_while(|byte| *byte != 0xaa).collect())),
            blocks => Ok(Secret::new(run(blocks, data, false))),
        }
    }
}

fn tag_of(data: &[u8], aad: &[u8], len: usize) -> Vec<u8> {
    let sum = data.iter().chain(aad).fold(3_u8, |sum, byte| sum.wrapping_mul(5).wrapping_add(*byte));
    vec![sum; len]
}

/// ECB, CBC and CTR around the block cipher that adds one.
pub(crate) fn run(mechanism: &CipherMechanism, data: &[u8], is_forward: bool) -> Vec<u8> {
    let (block_len, mut iv) = match mechanism {
        CipherMechanism::AesCbc { iv } => (16, Some(iv.to_vec())),
        CipherMechanism::Des3Cbc { iv } => (8, Some(iv.to_vec())),
        CipherMechanism::AesEcb => (16, None),
        CipherMechanism::Des3Ecb => (8, None),
        CipherMechanism::AesCtr { counter } => return count(u128::from_be_bytes(*counter), data),
        CipherMechanism::AesGcm { .. } | CipherMechanism::Rsa(_) => panic!("no mechanism of blocks"),
    };
    assert!(data.len().is_multiple_of(block_len) && !data.is_empty(), "the HSM takes whole blocks");
    let mut all = Vec::new();
    for block in data.chunks(block_len) {
        let before = iv.clone().unwrap_or(vec![0; block_len]);
        let zip = block.iter().zip(&before);
        let made: Vec<u8> = match is_forward {
            true => zip.map(|(byte, before)| (byte ^ before).wrapping_add(1)).collect(),
            false => zip.map(|(byte, before)| byte.wrapping_sub(1) ^ before).collect(),
        };
        iv = iv.map(|_| if is_forward { made.clone() } else { block.to_vec() });
        all.extend(made);
    }
    all
}

fn count(first: u128, data: &[u8]) -> Vec<u8> {
    let stream = (0..).flat_map(|block| first.wrapping_add(block).to_be_bytes());
    data.iter().zip(stream).map(|(byte, key)| byte ^ key.wrapping_add(1)).collect()
}

/// A key with this public part, or a secret key, that may do everything.
pub(crate) fn key(class: KeyClass, key_type: KeyType, public: Option<PublicPart>) -> KeyInfo {
    let flags = [Flag::Sign, Flag::Verify, Flag::Encrypt, Flag::Decrypt];
    KeyInfo {
        reference: KeyReference::from_u64(5).unwrap(),
        attributes: Attributes {
            class,
            key_type,
            label: "k".into(),
            id: Vec::new(),
            check_value: None,
            flags: flags.iter().fold(Flags::NONE, |flags, flag| flags.with(*flag, true)),
            length_bytes: 32,
            public,
            templates: KeyTemplates::NONE,
        },
        owner: "crypto_user".parse().unwrap(),
        shared_with: Vec::new(),
        revision: Revision(1),
        quorum: KeyQuorum::NONE,
    }
}

/// A key that fits a mechanism.
pub(crate) fn key_for(key_type: KeyType) -> KeyInfo {
    let public = match key_type {
        KeyType::Rsa => Some(PublicPart::Rsa { modulus: vec![0x91; 256], public_exponent: vec![1, 0, 1] }),
        KeyType::Ec => Some(PublicPart::Ec { curve: Curve::P256, point: vec![4; 65] }),
        KeyType::MlDsa => Some(PublicPart::MlDsa { algorithm: MlDsaAlgorithm::MlDsa44, key: vec![9; 1312] }),
        KeyType::Aes | KeyType::Des3 | KeyType::GenericSecret => None,
    };
    let class = if public.is_some() { KeyClass::PrivateKey } else { KeyClass::SecretKey };
    key(class, key_type, public)
}
