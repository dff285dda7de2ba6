//! `C_WrapKey`, `C_UnwrapKey`, `C_DeriveKey`.

use cryptoki_sys::*;
use strongroom_client::{KeyInfo, Setting, Wrapping};
use strongroom_types::limits::DES3_LEN;
use strongroom_types::{Derivation, EcdhKdf, GCM_IV_LEN, KeyQuorum, PublicPart, Secret, WrapMechanism};

use super::Key;
use super::generate::is_token;
use super::templates::{self, Call};
use crate::attribute::Given;
use crate::entry::{Output, Room};
use crate::failure::Failure;
use crate::mechanism::{GcmParameter, Mechanism, Parameter, Use};
use crate::session::Session;
use crate::vendor::{
    CKM_CLOUDHSM_AES_GCM, CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD, CKM_CLOUDHSM_AES_KEY_WRAP_PKCS5_PAD,
    CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD,
};

/// Bytes of what AES key wrap adds, and of its blocks (RFC 3394 §2).
const KEY_WRAP_BLOCK: usize = 8;

impl Session {
    /// A key under another one. Its length is told without a round trip.
    pub(crate) fn wrap_key(
        &self,
        mechanism: Mechanism,
        wrapping_key: CK_OBJECT_HANDLE,
        payload: CK_OBJECT_HANDLE,
        room: Room,
    ) -> Result<Output, Failure> {
        let wrapping = wrapping(&mechanism, Vec::new())?;
        if let Parameter::Gcm(gcm) = &mechanism.parameter {
            check_wrapping_iv(mechanism.number(), gcm)?;
        }
        let wrapping_key = self.usable_key(&mechanism, wrapping_key, Use::Wrap);
        let wrapping_key = wrapping_key.map_err(|failure| {
            failure
                .renamed(CKR_KEY_HANDLE_INVALID, CKR_WRAPPING_KEY_HANDLE_INVALID)
                .renamed(CKR_KEY_TYPE_INCONSISTENT, CKR_WRAPPING_KEY_TYPE_INCONSISTENT)
        })?;
        let payload = self.slot.objects.key(payload)?;
        let length = wrapped_len(wrapping.mechanism, &wrapping_key.info(), &payload.info());
        match room {
            Room::Length => return Ok(Output::Length(length)),
            Room::Bytes(room) if room < length => return Ok(Output::TooSmall(length)),
            Room::Bytes(_) => {}
        }
        let wrapped = self.slot.client.key_wrap(payload.reference, wrapping_key.reference, &wrapping);
        let wrapped = wrapped.map_err(|error| {
            // One of the two, or both.
            let is_gone = super::says_gone(&error);
            let [wrapping_key, _] = [&wrapping_key, &payload].map(|key| is_gone && self.is_gone(key));
            let rv = if wrapping_key { CKR_WRAPPING_KEY_HANDLE_INVALID } else { CKR_KEY_HANDLE_INVALID };
            Failure::from(error)
                .renamed(CKR_KEY_HANDLE_INVALID, rv)
                .renamed(CKR_KEY_TYPE_INCONSISTENT, CKR_WRAPPING_KEY_TYPE_INCONSISTENT)
                .renamed(CKR_DATA_LEN_RANGE, CKR_KEY_SIZE_RANGE)
        })?;
        let (iv, wrapped) = (wrapped.iv, Secret::new(wrapped.wrapped));
        Ok(match mechanism.parameter {
            Parameter::Gcm(GcmParameter { buffer: Some(buffer), .. }) => Output::BytesWithIv(wrapped, iv, buffer),
            _ => Output::Bytes(wrapped),
        })
    }

    /// Whether the HSMs say of a key that it is no more, which then loses its handle.
    fn is_gone(&self, key: &Key) -> bool {
        let known = self.slot.client.key_get(key.reference);
        known.is_err_and(|error| super::says_gone(&self.slot.objects.used(key.entry(), error)))
    }

    /// A key of what was wrapped.
    pub(crate) fn unwrap_key(
        &self,
        mechanism: &Mechanism,
        unwrapping_key: CK_OBJECT_HANDLE,
        wrapped: &[u8],
        given: &[Given],
    ) -> Result<CK_OBJECT_HANDLE, Failure> {
        let iv = match &mechanism.parameter {
            Parameter::Gcm(gcm) => unwrapping_iv(mechanism.number(), gcm)?,
            _ => Vec::new(),
        };
        let wrapping = wrapping(mechanism, iv)?;
        let login = self.login()?;
        let key = self.usable_key(mechanism, unwrapping_key, Use::Unwrap);
        let key = key.map_err(|failure| {
            failure
                .renamed(CKR_KEY_HANDLE_INVALID, CKR_UNWRAPPING_KEY_HANDLE_INVALID)
                .renamed(CKR_KEY_TYPE_INCONSISTENT, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT)
        })?;
        let kind = templates::kind_of(given)?;
        let wanted = templates::read(Call::Unwrap, kind, given)?;
        let demanded = key.info().attributes.templates.unwrap.as_deref().is_some_and(is_token);
        self.check_may_change(demanded || is_token(&wanted.named))?;
        let info = self.slot.client.key_unwrap_with_defaults(
            key.reference,
            &wrapping,
            wrapped,
            (kind.class(), kind.key_type()),
            (&wanted.named, &wanted.defaults),
            (&[], KeyQuorum::NONE),
        );
        let info = info.map_err(|error| {
            Failure::from(self.slot.objects.used(key.entry(), error))
                .renamed(CKR_KEY_HANDLE_INVALID, CKR_UNWRAPPING_KEY_HANDLE_INVALID)
                .renamed(CKR_KEY_TYPE_INCONSISTENT, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT)
                .renamed(CKR_DATA_LEN_RANGE, CKR_WRAPPED_KEY_LEN_RANGE)
                .renamed(CKR_ENCRYPTED_DATA_INVALID, CKR_WRAPPED_KEY_INVALID)
        })?;
        self.keep(login, info)
    }

    /// A secret key derived from another key.
    pub(crate) fn derive_key(
        &self,
        mechanism: &Mechanism,
        base: CK_OBJECT_HANDLE,
        given: &[Given],
    ) -> Result<CK_OBJECT_HANDLE, Failure> {
        let Parameter::Derive(derivation) = &mechanism.parameter else {
            return Err(Failure::call(CKR_MECHANISM_INVALID, "the mechanism derives no keys"));
        };
        let is_open = matches!(derivation, Derivation::Ecdh { kdf: EcdhKdf::None, .. });
        if is_open && !self.slot.settings.is_on(Setting::EcdhWithoutKdf) {
            let why = "CKD_NULL is switched off; use a CKD_CLOUDHSM_X963_*_KDF, or run configure-pkcs11 \
                       --enable-ecdh-without-kdf";
            return Err(Failure::call(CKR_MECHANISM_PARAM_INVALID, why));
        }
        let login = self.login()?;
        let base = self.usable_key(mechanism, base, Use::Derive)?;
        let kind = templates::kind_of(given)?;
        let call = if is_open { Call::DeriveOpen } else { Call::Derive };
        let wanted = templates::read(call, kind, given)?;
        let length = wanted.small_number(CKA_VALUE_LEN)?.unwrap_or(DES3_LEN);
        let template = wanted.into_template();
        self.check_may_change(is_token(&template))?;
        let info = self.slot.client.key_derive(base.reference, derivation, kind.key_type(), length, &template);
        self.keep(login, info.map_err(|error| self.slot.objects.used(base.entry(), error))?)
    }
}

/// How a key is wrapped, in the HSMs' words.
fn wrapping(mechanism: &Mechanism, iv: Vec<u8>) -> Result<Wrapping, Failure> {
    let of = |mechanism| Ok(Wrapping::of(mechanism));
    match (mechanism.number(), &mechanism.parameter) {
        (CKM_RSA_PKCS, _) => of(WrapMechanism::RsaPkcs),
        (CKM_RSA_PKCS_OAEP, Parameter::Oaep { hash }) => of(WrapMechanism::RsaOaep { hash: *hash }),
        (CKM_RSA_AES_KEY_WRAP, Parameter::Oaep { hash }) => of(WrapMechanism::RsaAes { hash: *hash }),
        (CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD, _) => of(WrapMechanism::AesNoPad),
        (CKM_CLOUDHSM_AES_KEY_WRAP_PKCS5_PAD, _) => of(WrapMechanism::AesPkcs5Pad),
        (CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD, _) => of(WrapMechanism::AesZeroPad),
        (CKM_AES_GCM, Parameter::Gcm(gcm)) => {
            Ok(Wrapping { mechanism: WrapMechanism::AesGcm { tag: gcm.tag }, aad: gcm.aad.clone(), iv })
        }
        (CKM_CLOUDHSM_AES_GCM, Parameter::Gcm(gcm)) => {
            Ok(Wrapping { mechanism: WrapMechanism::CloudhsmAesGcm { tag: gcm.tag }, aad: gcm.aad.clone(), iv })
        }
        _ => Err(Failure::call(CKR_MECHANISM_INVALID, "the mechanism does not wrap keys")),
    }
}

/// Where the HSM's initialisation vector goes: into the caller's buffer, or before the ciphertext.
fn check_wrapping_iv(mechanism: CK_MECHANISM_TYPE, gcm: &GcmParameter) -> Result<(), Failure> {
    match (mechanism, &gcm.buffer) {
        (CKM_AES_GCM, Some(buffer)) if buffer.len() >= GCM_IV_LEN => Ok(()),
        (CKM_AES_GCM, _) => {
            Err(Failure::call(CKR_MECHANISM_PARAM_INVALID, "pIv is where the HSM's IV of 12 bytes is written"))
        }
        (_, None) => Ok(()),
        _ => Err(Failure::call(CKR_MECHANISM_PARAM_INVALID, "pIv is null: the IV stands before the ciphertext")),
    }
}

fn unwrapping_iv(mechanism: CK_MECHANISM_TYPE, gcm: &GcmParameter) -> Result<Vec<u8>, Failure> {
    match (mechanism, gcm.iv.len()) {
        (CKM_AES_GCM, GCM_IV_LEN) => Ok(gcm.iv.clone()),
        (CKM_AES_GCM, _) => Err(Failure::call(CKR_MECHANISM_PARAM_INVALID, "the IV has 12 bytes")),
        (_, 0) => Ok(Vec::new()),
        _ => Err(Failure::call(CKR_MECHANISM_PARAM_INVALID, "pIv is null: the IV stands before the ciphertext")),
    }
}

/// Bytes of a wrapped key, from what is known of both keys. The length of keys that leave is that of what is wrapped.
fn wrapped_len(mechanism: WrapMechanism, wrapping_key: &KeyInfo, payload: &KeyInfo) -> usize {
    let material = usize::try_from(payload.attributes.length_bytes).unwrap_or(usize::MAX);
    let modulus = match &wrapping_key.attributes.public {
        Some(PublicPart::Rsa { modulus, .. }) => modulus.len(),
        _ => 0,
    };
    let blocks = |len: usize| len.next_multiple_of(KEY_WRAP_BLOCK) + KEY_WRAP_BLOCK;
    match mechanism {
        WrapMechanism::AesGcm { tag } => material + tag.bytes(),
        WrapMechanism::CloudhsmAesGcm { tag } => GCM_IV_LEN + material + tag.bytes(),
        WrapMechanism::AesNoPad | WrapMechanism::AesZeroPad => blocks(material),
        WrapMechanism::AesPkcs5Pad => blocks(material + 1),
        WrapMechanism::RsaAes { .. } => modulus + blocks(material),
        WrapMechanism::RsaOaep { .. } | WrapMechanism::RsaPkcs => modulus,
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::{GcmTag, HashFunction, KeyClass, KeyType};

    use super::super::tests::key;
    use super::*;

    #[test]
    fn lengths_are_those_of_the_standards() {
        let rsa = PublicPart::Rsa { modulus: vec![0xc5; 256], public_exponent: vec![1, 0, 1] };
        let under = key(KeyClass::PublicKey, KeyType::Rsa, &[], Some(rsa));
        let check = |mechanism, payload_len: u32, expected| {
            let mut payload = key(KeyClass::SecretKey, KeyType::GenericSecret, &[], None);
            payload.attributes.length_bytes = payload_len;
            assert_eq!(wrapped_len(mechanism, &under, &payload), expected, "{mechanism:?} {payload_len}");
        };
        let tag = GcmTag::of_bits(96).unwrap();
        let hash = HashFunction::Sha256;
        check(WrapMechanism::AesGcm { tag }, 20, 32);
        check(WrapMechanism::CloudhsmAesGcm { tag }, 20, 44);
        check(WrapMechanism::AesNoPad, 24, 32);
        for (payload, expected) in [(1, 16), (8, 16), (9, 24), (16, 24), (20, 32)] {
            check(WrapMechanism::AesZeroPad, payload, expected);
        }
        // A whole block is added to what fills its blocks.
        for (payload, expected) in [(1, 16), (7, 16), (8, 24), (9, 24), (16, 32)] {
            check(WrapMechanism::AesPkcs5Pad, payload, expected);
        }
        check(WrapMechanism::RsaAes { hash }, 20, 256 + 32);
        check(WrapMechanism::RsaOaep { hash }, 20, 256);
        check(WrapMechanism::RsaPkcs, 20, 256);
    }
}
