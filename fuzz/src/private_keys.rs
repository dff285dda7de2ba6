//! Private keys: what was read signs, and its signature verifies.

use std::sync::LazyLock;

use crate::raw_or_edited;
use strongroom_crypto::verify::verify;
use strongroom_crypto_keys::import;
use strongroom_crypto_keys::{PrivateKey, generate};
use strongroom_types::{Curve, KeyType, MlDsaAlgorithm, PublicPart, Secret, SignMechanism};

static VALID: LazyLock<Vec<Secret>> = LazyLock::new(|| {
    let rsa = generate::rsa(2048, &[1, 0, 1]).unwrap();
    let ec = Curve::ALL.iter().map(|curve| generate::ec(*curve).unwrap());
    let ml_dsa = generate::ml_dsa(MlDsaAlgorithm::MlDsa44).unwrap();
    std::iter::once(rsa).chain(ec).chain([ml_dsa]).map(|pair| pair.pkcs8).collect()
});

/// The target.
pub fn run(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let valid = VALID[usize::from(*which) % VALID.len()].expose();
    let bytes = Secret::new(raw_or_edited(valid, data));
    let imported = [KeyType::Rsa, KeyType::Ec].map(|key_type| import::private(key_type, &bytes).ok());
    let Ok(key) = PrivateKey::from_pkcs8(&bytes) else {
        assert!(imported.iter().all(Option::is_none), "what cannot be read is not brought in");
        return;
    };
    for pair in imported.iter().flatten() {
        // What is kept of a key that was brought in is that key, and its own only form.
        assert_eq!(&pair.public, key.public());
        let again = import::private(pair.public.key_type(), &pair.pkcs8).unwrap();
        assert_eq!(again.pkcs8.expose(), pair.pkcs8.expose());
    }
    let mechanism = match key.public() {
        PublicPart::Rsa { .. } => SignMechanism::RsaPkcs,
        PublicPart::Ec { curve: Curve::Ed25519, .. } => SignMechanism::Ed25519,
        PublicPart::Ec { .. } => SignMechanism::Ecdsa,
        PublicPart::MlDsa { .. } => SignMechanism::MlDsa,
    };
    let data = [7; 64];
    let signature = key.sign(mechanism, &data).unwrap();
    assert_eq!(verify(key.public(), mechanism, &data, &signature), Ok(()));
}

/// To begin with: the bytes as they are, one changed, cut off.
pub fn seeds() -> Vec<Vec<u8>> {
    crate::edits(&[0, 1, 2, 3, 4, 5, 6, 7])
}
