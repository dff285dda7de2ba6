//! Which keys wrap by which mechanism, and which keys and lengths it wraps.

use strongroom_types::limits::DATA_LEN_MAX;
use strongroom_types::{Attributes, GCM_IV_LEN, KeyClass, KeyType, PublicPart, Refusal, Status, WrapMechanism};

use super::Algorithm;
use crate::Cluster;

/// Bytes of a block of AES key wrap.
const BLOCK_LEN: usize = 8;

/// The type of the keys that wrap and unwrap so.
pub(super) fn wraps_by(mechanism: WrapMechanism) -> KeyType {
    match mechanism {
        WrapMechanism::AesGcm { .. }
        | WrapMechanism::AesNoPad
        | WrapMechanism::AesPkcs5Pad
        | WrapMechanism::AesZeroPad
        | WrapMechanism::CloudhsmAesGcm { .. } => KeyType::Aes,
        WrapMechanism::RsaAes { .. } | WrapMechanism::RsaOaep { .. } | WrapMechanism::RsaPkcs => KeyType::Rsa,
    }
}

/// The class of the keys that unwrap so.
pub(super) fn unwraps_by(mechanism: WrapMechanism) -> KeyClass {
    if wraps_by(mechanism) == KeyType::Rsa { KeyClass::PrivateKey } else { KeyClass::SecretKey }
}

/// Whether the key's class and type fit wrapping by the mechanism.
pub(crate) fn fits_wrapping_key(mechanism: WrapMechanism, key: &Attributes) -> Result<(), Refusal> {
    let key_type = wraps_by(mechanism);
    let class = if key_type == KeyType::Rsa { KeyClass::PublicKey } else { KeyClass::SecretKey };
    if (key.class, key.key_type) == (class, key_type) { Ok(()) } else { Err(Status::KeyTypeInconsistent.into()) }
}

/// Whether such a key may be wrapped, and brought in wrapped.
pub(crate) fn check_wrappable(class: KeyClass, key_type: KeyType) -> Result<(), Refusal> {
    match (class, key_type) {
        (KeyClass::SecretKey, KeyType::Aes | KeyType::Des3 | KeyType::GenericSecret)
        | (KeyClass::PrivateKey, KeyType::Ec | KeyType::Rsa) => Ok(()),
        (KeyClass::PublicKey, _) => Err(Refusal::new(Status::PayloadInvalid, "public keys are exported in clear")),
        (KeyClass::SecretKey | KeyClass::PrivateKey, _) => {
            Err(Refusal::new(Status::PayloadInvalid, format!("{class} {key_type}")))
        }
    }
}

/// Whether mode and mechanism allow wrapping this key, whose length as the command line tool counts it is that of the
/// bytes to be wrapped.
pub(crate) fn fits_payload(
    mechanism: WrapMechanism,
    wrapping: &Attributes,
    payload: &Attributes,
    cluster: &Cluster,
) -> Result<(), Refusal> {
    Algorithm::of_wrapping(mechanism).permitted_in(cluster)?;
    check_wrappable(payload.class, payload.key_type)?;
    let len = usize::try_from(payload.length_bytes).map_err(|_| Status::PayloadInvalid)?;
    let room = match &wrapping.public {
        Some(PublicPart::Rsa { modulus, .. }) => mechanism.rsa_room(modulus.len()),
        _ => None,
    };
    let (fits, rule) = match mechanism {
        WrapMechanism::AesNoPad => (in_blocks(2, len), "aes-no-pad takes 16 bytes or more, in eights"),
        WrapMechanism::AesPkcs5Pad => (len >= BLOCK_LEN, "aes-pkcs5-pad takes 8 bytes or more"),
        WrapMechanism::RsaOaep { .. } | WrapMechanism::RsaPkcs => (
            room.is_some_and(|room| len <= room),
            "longer than the modulus has room for; rsa-aes wraps keys of any length",
        ),
        WrapMechanism::AesGcm { .. }
        | WrapMechanism::AesZeroPad
        | WrapMechanism::CloudhsmAesGcm { .. }
        | WrapMechanism::RsaAes { .. } => (true, ""),
    };
    if fits { Ok(()) } else { Err(Refusal::new(Status::PayloadInvalid, format!("{len} bytes: {rule}"))) }
}

/// Whether what was wrapped so can have this length.
pub(super) fn is_wrapped_len(mechanism: WrapMechanism, public: Option<&PublicPart>, len: usize) -> bool {
    let modulus_len = match public {
        Some(PublicPart::Rsa { modulus, .. }) => modulus.len(),
        _ => 0,
    };
    let fits = match mechanism {
        WrapMechanism::AesGcm { tag } => len > tag.bytes(),
        WrapMechanism::CloudhsmAesGcm { tag } => len > GCM_IV_LEN + tag.bytes(),
        WrapMechanism::AesNoPad | WrapMechanism::AesPkcs5Pad => in_blocks(3, len),
        WrapMechanism::AesZeroPad => in_blocks(2, len),
        WrapMechanism::RsaAes { .. } => len.checked_sub(modulus_len).is_some_and(|rest| in_blocks(2, rest)),
        WrapMechanism::RsaOaep { .. } | WrapMechanism::RsaPkcs => len == modulus_len,
    };
    fits && len <= DATA_LEN_MAX
}

fn in_blocks(least: usize, len: usize) -> bool {
    len >= least * BLOCK_LEN && len.is_multiple_of(BLOCK_LEN)
}
