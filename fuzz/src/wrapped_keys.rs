//! Wrapped keys, by every mechanism under an AES and an RSA key: what unwraps is a key that wraps and unwraps again, and
//! what does not says nothing of why.

use std::sync::LazyLock;

use strongroom_crypto_keys::wrap::{Beside, UnwrappingKey, Wrapped, WrappingKey, unwrap, wrap};
use strongroom_crypto_keys::{KeyError, PrivateKey, SecretKey, generate};
use strongroom_types::{Curve, GCM_IV_LEN, GcmTag, HashFunction, KeyClass, KeyType, WrapMechanism};

use crate::raw_or_edited;

const AAD: &[u8] = b"beside";
/// What comes in, as a client may say it does.
const KINDS: [(KeyClass, KeyType); 5] = [
    (KeyClass::SecretKey, KeyType::Aes),
    (KeyClass::SecretKey, KeyType::Des3),
    (KeyClass::SecretKey, KeyType::GenericSecret),
    (KeyClass::PrivateKey, KeyType::Ec),
    (KeyClass::PrivateKey, KeyType::Rsa),
];

struct World {
    aes: SecretKey,
    rsa: PrivateKey,
    /// By mechanism: a wrapped AES key, and a wrapped EC key where it fits.
    valid: Vec<(WrapMechanism, Vec<Wrapped>)>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let aes = SecretKey::new(KeyType::Aes, generate::secret(32));
    let rsa = PrivateKey::try_from(&generate::rsa(2048, &[1, 0, 1]).unwrap()).unwrap();
    let tag = GcmTag::of_bits(96).unwrap();
    let hash = HashFunction::Sha256;
    let mechanisms = [
        WrapMechanism::AesGcm { tag },
        WrapMechanism::CloudhsmAesGcm { tag },
        WrapMechanism::AesNoPad,
        WrapMechanism::AesPkcs5Pad,
        WrapMechanism::AesZeroPad,
        WrapMechanism::RsaAes { hash },
        WrapMechanism::RsaOaep { hash },
        WrapMechanism::RsaPkcs,
    ];
    let payloads = [generate::secret(24), generate::ec(Curve::P256).unwrap().pkcs8];
    let valid = mechanisms.map(|mechanism| {
        let key = if is_rsa(mechanism) { WrappingKey::Rsa(rsa.public()) } else { WrappingKey::Aes(&aes) };
        let wrapped = payloads.iter().filter_map(|payload| wrap(mechanism, key, AAD, payload).ok());
        (mechanism, wrapped.collect())
    });
    World { valid: valid.into(), aes, rsa }
});

fn is_rsa(mechanism: WrapMechanism) -> bool {
    mechanism.rsa_decryption().is_some()
}

/// The target.
pub fn run(data: &[u8]) {
    let Some(([which, kind], data)) = data.split_first_chunk() else { return };
    let World { aes, rsa, valid } = &*WORLD;
    let (mechanism, wrapped) = &valid[usize::from(*which) % valid.len()];
    let wrapped = &wrapped[usize::from(*which) / valid.len() % wrapped.len()];
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let data = raw_or_edited(&wrapped.data, data);
    let keys = match is_rsa(*mechanism) {
        true => (WrappingKey::Rsa(rsa.public()), UnwrappingKey::Rsa(rsa)),
        false => (WrappingKey::Aes(aes), UnwrappingKey::Aes(aes)),
    };
    let unwrapped = |iv: &[u8], data: &[u8]| unwrap(*mechanism, keys.1, Beside { aad: AAD, iv }, data, kind);
    match unwrapped(&wrapped.iv, &data) {
        Err(error) => assert_eq!(error, KeyError::Unwrapping),
        Ok(key) => {
            // An RSA key in a form of one's own may be too long for the modulus again; no other key is.
            let Ok(again) = wrap(*mechanism, keys.0, AAD, &key.material) else { return };
            let back = unwrapped(&again.iv, &again.data).unwrap();
            assert_eq!((&back.material, back.check_value), (&key.material, key.check_value));
        }
    }
    if let WrapMechanism::AesGcm { .. } = mechanism
        && data.len() != GCM_IV_LEN
    {
        let refused = unwrap(*mechanism, keys.1, Beside { aad: AAD, iv: &data }, &wrapped.data, kind);
        assert_eq!(refused.err(), Some(KeyError::IvLength));
    }
}

/// To begin with: of each mechanism and kind the bytes as they are, some changed, cut off.
pub fn seeds() -> Vec<Vec<u8>> {
    let edits = crate::edits(&[]);
    let choices = (0..16).flat_map(|which| (0..5).map(move |kind| [which, kind]));
    choices.flat_map(|choice| edits.iter().map(move |edit| [&choice[..], edit].concat()).collect::<Vec<_>>()).collect()
}
