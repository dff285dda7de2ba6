//! Keys, requests and certificates for tests, the ones that nobody should issue included.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use strongroom_types::{ClusterId, Secret};

use super::authority::time;
use super::{Certificate, CertificateRequest, Name, hsm_subject};
use crate::der::{self, tag};
use crate::random;

/// 2026-01-01 00:00:00 UTC: when it is in these tests.
pub(crate) const NOW: u64 = 1_767_225_600;
/// One day in seconds.
pub(crate) const DAY: u64 = 24 * 60 * 60;

const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// A private key that signs requests and certificates.
pub(crate) enum Signer {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(&'static rsa::KeyPair),
}

impl Signer {
    pub(crate) fn p256() -> Signer {
        Signer::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub(crate) fn p384() -> Signer {
        Signer::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap())
    }

    /// RSA-2048, always the same key: making one takes long.
    pub(crate) fn rsa() -> Signer {
        static KEY: OnceLock<rsa::KeyPair> = OnceLock::new();
        Signer::Rsa(KEY.get_or_init(|| rsa::KeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        let der = match self {
            Signer::P256(key) | Signer::P384(key) => AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()),
            Signer::Rsa(key) => AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()),
        };
        der.unwrap().as_ref().to_vec()
    }

    pub(crate) fn pkcs8(&self) -> Secret {
        match self {
            Signer::P256(key) | Signer::P384(key) => Secret::from(key.to_pkcs8v1().unwrap().as_ref()),
            Signer::Rsa(key) => Secret::from(AsDer::<Pkcs8V1Der<'_>>::as_der(*key).unwrap().as_ref()),
        }
    }

    fn algorithm(&self) -> Vec<u8> {
        match self {
            Signer::P256(_) => der::sequence(&[&der::oid(ECDSA_WITH_SHA256)]),
            Signer::P384(_) => der::sequence(&[&der::oid(ECDSA_WITH_SHA384)]),
            Signer::Rsa(_) => der::sequence(&[&der::oid(SHA256_WITH_RSA), &der::NULL]),
        }
    }

    /// `SEQUENCE { content, algorithm, signature }`.
    fn signed(&self, content: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let signature = match self {
            Signer::P256(key) | Signer::P384(key) => key.sign(&random, content).unwrap().as_ref().to_vec(),
            Signer::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, content, &mut signature).unwrap();
                signature
            }
        };
        der::sequence(&[content, &self.algorithm(), &der::bit_string(&signature)])
    }
}

/// What stands in a certificate beside names and key.
#[derive(Clone)]
pub(crate) struct Profile {
    pub(crate) version: u8,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// basicConstraints; version 3 only.
    pub(crate) ca: Option<bool>,
    pub(crate) path_len: Option<u8>,
    /// The byte of keyUsage: bit 2 is keyCertSign, bit 7 digitalSignature; version 3 only.
    pub(crate) key_usage: Option<u8>,
    /// The last byte of an OID of extKeyUsage: 1 is serverAuth, 2 clientAuth; version 3 only.
    pub(crate) extended_usage: Option<u8>,
}

impl Profile {
    pub(crate) fn ca() -> Profile {
        Profile {
            version: 3,
            from: NOW - DAY,
            to: NOW + DAY,
            ca: Some(true),
            path_len: None,
            key_usage: Some(0b110),
            extended_usage: None,
        }
    }

    /// A TLS client's.
    pub(crate) fn client() -> Profile {
        Profile { ca: Some(false), key_usage: Some(0x80), extended_usage: Some(2), ..Profile::ca() }
    }

    /// Version 1, as most customers' CAs issue.
    pub(crate) fn v1() -> Profile {
        Profile { version: 1, ca: None, key_usage: None, ..Profile::ca() }
    }

    fn extensions(&self) -> Vec<u8> {
        let extension = |id: u8, value: &[u8]| {
            der::sequence(&[&der::oid(&[0x55, 0x1d, id]), &[tag::BOOLEAN, 1, 0xff], &der::octet_string(value)])
        };
        let mut all = Vec::new();
        if let Some(ca) = self.ca {
            let flag: &[u8] = if ca { &[tag::BOOLEAN, 1, 0xff] } else { &[] };
            let path_len = self.path_len.map(|len| der::element(tag::INTEGER, &[&[len]])).unwrap_or_default();
            all.extend(extension(19, &der::sequence(&[flag, &path_len])));
        }
        if let Some(usage) = self.key_usage {
            all.extend(extension(15, &der::element(tag::BIT_STRING, &[&[0, usage]])));
        }
        if let Some(usage) = self.extended_usage {
            all.extend(extension(37, &der::sequence(&[&der::oid(&[0x2b, 6, 1, 5, 5, 7, 3, usage])])));
        }
        der::sequence(&[&all])
    }
}

/// A key and a name.
pub(crate) struct Party {
    pub(crate) key: Signer,
    pub(crate) name: Name,
}

impl Party {
    pub(crate) fn new(name: &str, key: Signer) -> Party {
        Party { key, name: Name::of(&[(COMMON_NAME, name)]) }
    }

    pub(crate) fn hsm(key: Signer) -> Party {
        Party { key, name: hsm_subject(&cluster()) }
    }

    /// A certificate for `subject`.
    pub(crate) fn issue(&self, subject: &Party, profile: &Profile) -> Certificate {
        self.issue_for(&subject.name, &subject.key.spki(), profile)
    }

    /// A certificate for this name and key.
    pub(crate) fn issue_for(&self, subject: &Name, spki: &[u8], profile: &Profile) -> Certificate {
        let version = match profile.version {
            1 => Vec::new(),
            version => der::element(tag::context(0), &[&der::unsigned(&[version - 1])]),
        };
        let extensions = match profile.version {
            3 => der::element(tag::context(3), &[&profile.extensions()]),
            _ => Vec::new(),
        };
        let seconds = |time: u64| i64::try_from(time).unwrap();
        let content = der::sequence(&[
            &version,
            &der::unsigned(&random::bytes::<16>()),
            &self.key.algorithm(),
            self.name.der(),
            &der::sequence(&[&time(seconds(profile.from)), &time(seconds(profile.to))]),
            subject.der(),
            spki,
            &extensions,
        ]);
        Certificate::from_der(&self.key.signed(&content)).unwrap()
    }

    pub(crate) fn self_signed(&self, profile: &Profile) -> Certificate {
        self.issue(self, profile)
    }

    pub(crate) fn request_der(&self) -> Vec<u8> {
        let attributes = der::element(tag::context(0), &[]);
        let content = der::sequence(&[&der::unsigned(&[]), self.name.der(), &self.key.spki(), &attributes]);
        self.key.signed(&content)
    }

    pub(crate) fn request(&self) -> CertificateRequest {
        CertificateRequest::from_der(&self.request_der()).unwrap()
    }
}

pub(crate) fn cluster() -> ClusterId {
    "cluster-abcdefghijk".parse().unwrap()
}

/// A folder that goes away with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        let tail: String = random::bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = std::env::temp_dir().join(format!("strongroom-certificates-{tail}"));
        std::fs::create_dir(&folder).unwrap();
        Folder(folder)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.0.join(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }

    /// Runs the `openssl` command in the folder. None, and a word about it, on a machine without one.
    pub(crate) fn openssl(&self, arguments: &str) -> Option<Output> {
        match Command::new("openssl").args(arguments.split(' ')).current_dir(&self.0).output() {
            Ok(output) => Some(output),
            Err(_) => {
                eprintln!("skipped: there is no openssl command");
                None
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
