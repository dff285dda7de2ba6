//! What an HSM is asked to sign or verify, made of a caller's message.

use std::ops::Deref;

use cryptoki_sys::*;
use strongroom_crypto::digest::{Hasher, digest, digest_info};
use strongroom_crypto::ml_dsa::{MU_LEN, MuHasher, mu};
use strongroom_types::buffers::SecretBuffer;
use strongroom_types::limits::{CIPHER_DATA_LEN_MAX, ECDSA_DATA_LEN_MAX, ED25519_DATA_LEN_MAX, RSA_BITS_MAX};
use strongroom_types::{Attributes, HashFunction, MacMechanism, PublicPart, Secret, SignMechanism};

use super::gathered::{Gathered, within};
use crate::failure::Failure;
use crate::mechanism::{Mechanism, Parameter};
use crate::vendor::{CKM_CLOUDHSM_EDDSA, CKM_CLOUDHSM_EXT_MU_ML_DSA, CKM_CLOUDHSM_ML_DSA};

/// Bytes of an RSA block, at most.
pub(super) const RSA_LEN_MAX: usize = RSA_BITS_MAX as usize / 8;
/// Bytes of a signature with Ed25519 (RFC 8032 §5.1.6).
const ED25519_SIGNATURE_LEN: usize = 64;

/// What an HSM is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Mac(MacMechanism),
    Signature(SignMechanism),
}

/// What it is asked for it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The message as it is, at most so long.
    Bare(usize),
    /// The same as a block of the modulus' length: zeros before a shorter one (PKCS #11 v2.40 mechanisms §2.1.8).
    Block,
    /// Its digest.
    Digest(HashFunction),
    /// Its digest in a DigestInfo.
    DigestInfo(HashFunction),
    /// Its representative under the public key.
    Mu,
}

/// How a mechanism signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scheme {
    pub(super) asked: Asked,
    form: Form,
}

/// What goes to an HSM: the caller's bytes as they are, or what was made of them.
pub(super) enum Input<'a> {
    Callers(&'a [u8]),
    Made(Secret),
}

impl Deref for Input<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Input::Callers(bytes) => bytes,
            Input::Made(bytes) => bytes.expose(),
        }
    }
}

/// A message that comes in parts.
pub(super) enum Parts {
    Gathered(Gathered),
    Hashed(Hasher),
    Mu(MuHasher),
}

impl Scheme {
    /// Of a mechanism that signs.
    pub(super) fn of(mechanism: &Mechanism) -> Result<Scheme, Failure> {
        let signature = |mechanism, form| Ok(Scheme { asked: Asked::Signature(mechanism), form });
        match (mechanism.number(), &mechanism.parameter) {
            (CKM_RSA_X_509, _) => signature(SignMechanism::RsaX509, Form::Block),
            (CKM_RSA_PKCS, _) => signature(SignMechanism::RsaPkcs, Form::Bare(RSA_LEN_MAX)),
            (CKM_RSA_PKCS_PSS, &Parameter::Pss { hash, salt_len }) => {
                signature(SignMechanism::RsaPkcsPss { hash, salt_len }, Form::Bare(hash.digest_len()))
            }
            (_, &Parameter::Pss { hash, salt_len }) => {
                signature(SignMechanism::RsaPkcsPss { hash, salt_len }, Form::Digest(hash))
            }
            (CKM_ECDSA, _) => signature(SignMechanism::Ecdsa, Form::Bare(ECDSA_DATA_LEN_MAX)),
            (CKM_CLOUDHSM_EDDSA | CKM_EDDSA, Parameter::Ed25519Ph) => {
                signature(SignMechanism::Ed25519Ph, Form::Digest(HashFunction::Sha512))
            }
            (CKM_CLOUDHSM_EDDSA | CKM_EDDSA, _) => signature(SignMechanism::Ed25519, Form::Bare(ED25519_DATA_LEN_MAX)),
            (CKM_CLOUDHSM_ML_DSA, _) => signature(SignMechanism::MlDsa, Form::Mu),
            (CKM_CLOUDHSM_EXT_MU_ML_DSA, _) => signature(SignMechanism::MlDsa, Form::Bare(MU_LEN)),
            (number, _) => Scheme::of_hash(number)
                .ok_or(Failure::call(CKR_MECHANISM_INVALID, "the mechanism neither signs nor verifies")),
        }
    }

    /// Of the mechanisms that are one for each hash function, and of CMAC.
    fn of_hash(number: CK_MECHANISM_TYPE) -> Option<Scheme> {
        use HashFunction::{Sha1, Sha224, Sha256, Sha384, Sha512};
        let signature = |mechanism, form| Some(Scheme { asked: Asked::Signature(mechanism), form });
        let pkcs = |hash| signature(SignMechanism::RsaPkcs, Form::DigestInfo(hash));
        let ecdsa = |hash| signature(SignMechanism::Ecdsa, Form::Digest(hash));
        let mac = |mac| Some(Scheme { asked: Asked::Mac(mac), form: Form::Bare(CIPHER_DATA_LEN_MAX) });
        match number {
            CKM_SHA1_RSA_PKCS => pkcs(Sha1),
            CKM_SHA224_RSA_PKCS => pkcs(Sha224),
            CKM_SHA256_RSA_PKCS => pkcs(Sha256),
            CKM_SHA384_RSA_PKCS => pkcs(Sha384),
            CKM_SHA512_RSA_PKCS => pkcs(Sha512),
            CKM_ECDSA_SHA1 => ecdsa(Sha1),
            CKM_ECDSA_SHA224 => ecdsa(Sha224),
            CKM_ECDSA_SHA256 => ecdsa(Sha256),
            CKM_ECDSA_SHA384 => ecdsa(Sha384),
            CKM_ECDSA_SHA512 => ecdsa(Sha512),
            CKM_SHA_1_HMAC => mac(MacMechanism::Hmac(Sha1)),
            CKM_SHA224_HMAC => mac(MacMechanism::Hmac(Sha224)),
            CKM_SHA256_HMAC => mac(MacMechanism::Hmac(Sha256)),
            CKM_SHA384_HMAC => mac(MacMechanism::Hmac(Sha384)),
            CKM_SHA512_HMAC => mac(MacMechanism::Hmac(Sha512)),
            CKM_AES_CMAC => mac(MacMechanism::AesCmac),
            _ => None,
        }
    }

    /// Refuses a parameter that no signature with such a key can have: a salt of RSA-PSS for which there is no room beside
    /// the digest (RFC 8017 §9.1.1; a modulus of whole bytes makes emLen its length).
    pub(super) fn check(&self, key: &Attributes) -> Result<(), Failure> {
        match (self.asked, &key.public) {
            (Asked::Signature(SignMechanism::RsaPkcsPss { hash, salt_len }), Some(PublicPart::Rsa { modulus, .. }))
                if hash.digest_len() + usize::from(salt_len) + 2 > modulus.len() =>
            {
                Err(Failure::call(CKR_MECHANISM_PARAM_INVALID, "sLen is longer than the modulus has room for"))
            }
            _ => Ok(()),
        }
    }

    /// Length of a signature with such a key.
    pub(super) fn made_len(&self, key: &Attributes) -> Result<usize, Failure> {
        match (self.asked, &key.public) {
            (Asked::Mac(mac), _) => Ok(mac.mac_len()),
            (Asked::Signature(SignMechanism::Ecdsa), Some(PublicPart::Ec { curve, .. })) => Ok(2 * curve.field_len()),
            (Asked::Signature(SignMechanism::Ed25519 | SignMechanism::Ed25519Ph), Some(PublicPart::Ec { .. })) => {
                Ok(ED25519_SIGNATURE_LEN)
            }
            (Asked::Signature(SignMechanism::MlDsa), Some(PublicPart::MlDsa { algorithm, .. })) => {
                Ok(algorithm.signature_len())
            }
            (
                Asked::Signature(SignMechanism::RsaPkcs | SignMechanism::RsaPkcsPss { .. } | SignMechanism::RsaX509),
                Some(PublicPart::Rsa { modulus, .. }),
            ) => Ok(modulus.len()),
            _ => Err(of_another_type()),
        }
    }

    /// A message in parts, none of them here yet.
    pub(super) fn parts(&self, key: &Attributes) -> Result<Parts, Failure> {
        match self.form {
            Form::Bare(max) => Ok(Parts::Gathered(Gathered::new(max, CKR_DATA_LEN_RANGE))),
            Form::Block => Ok(Parts::Gathered(Gathered::new(RSA_LEN_MAX, CKR_DATA_LEN_RANGE))),
            Form::Digest(hash) | Form::DigestInfo(hash) => Ok(Parts::Hashed(Hasher::new(hash))),
            Form::Mu => Ok(Parts::Mu(MuHasher::new(ml_dsa_key(key)?))),
        }
    }

    /// What goes to the HSM of a message in one part.
    pub(super) fn of_whole<'a>(&self, message: &'a [u8], key: &Attributes) -> Result<Input<'a>, Failure> {
        let made = |bytes| Ok(Input::Made(Secret::new(bytes)));
        match self.form {
            Form::Bare(max) => within(message.len(), max, CKR_DATA_LEN_RANGE).map(|()| Input::Callers(message)),
            Form::Block => block(message, key),
            Form::Digest(hash) => made(digest(hash, message)),
            Form::DigestInfo(hash) => made(digest_info(hash, &digest(hash, message))),
            Form::Mu => made(mu(ml_dsa_key(key)?, message).to_vec()),
        }
    }

    /// What goes to the HSM of a message in parts.
    pub(super) fn of_parts(&self, parts: Parts, key: &Attributes) -> Result<Secret, Failure> {
        match (parts, self.form) {
            (Parts::Gathered(parts), Form::Block) => match block(parts.bytes(), key)? {
                Input::Callers(_) => Ok(parts.into_secret()),
                Input::Made(block) => Ok(block),
            },
            (Parts::Gathered(parts), _) => Ok(parts.into_secret()),
            (Parts::Hashed(hasher), Form::DigestInfo(hash)) => Ok(Secret::new(digest_info(hash, &hasher.finish()))),
            (Parts::Hashed(hasher), _) => Ok(Secret::new(hasher.finish())),
            (Parts::Mu(pieces), _) => Ok(Secret::from(&pieces.finish()[..])),
        }
    }
}

impl Parts {
    /// The next part.
    pub(super) fn push(&mut self, part: &[u8]) -> Result<(), Failure> {
        match self {
            Parts::Gathered(gathered) => gathered.push(part),
            Parts::Hashed(hasher) => {
                hasher.update(part);
                Ok(())
            }
            Parts::Mu(pieces) => {
                pieces.update(part);
                Ok(())
            }
        }
    }
}

/// A block of the modulus' length with these bytes at its end.
pub(super) fn block<'a>(bytes: &'a [u8], key: &Attributes) -> Result<Input<'a>, Failure> {
    let len = modulus_len(key)?;
    let Some(missing) = len.checked_sub(bytes.len()) else {
        return Err(Failure::call(CKR_DATA_LEN_RANGE, "the data are longer than the modulus"));
    };
    if missing == 0 {
        return Ok(Input::Callers(bytes));
    }
    let mut block = SecretBuffer::with_capacity(len);
    block.push(&vec![0; missing]);
    block.push(bytes);
    Ok(Input::Made(block.into_secret()))
}

/// Bytes of an RSA key's modulus.
pub(super) fn modulus_len(key: &Attributes) -> Result<usize, Failure> {
    match &key.public {
        Some(PublicPart::Rsa { modulus, .. }) => Ok(modulus.len()),
        Some(PublicPart::Ec { .. } | PublicPart::MlDsa { .. }) | None => Err(of_another_type()),
    }
}

fn ml_dsa_key(key: &Attributes) -> Result<&[u8], Failure> {
    match &key.public {
        Some(PublicPart::MlDsa { key, .. }) => Ok(key),
        Some(PublicPart::Ec { .. } | PublicPart::Rsa { .. }) | None => Err(of_another_type()),
    }
}

fn of_another_type() -> Failure {
    Failure::call(CKR_KEY_TYPE_INCONSISTENT, "the key's type does not fit the mechanism")
}
