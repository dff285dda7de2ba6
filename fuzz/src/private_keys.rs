//! Private keys: what was read signs, and its signature verifies.

use std::sync::LazyLock;

use crate::raw_or_edited;
use strongroom_crypto::verify::verify;
use strongroom_crypto_keys::{PrivateKey, generate};
use strongroom_types::{Curve, PublicPart, Secret, SignMechanism};

static VALID: LazyLock<Vec<Secret>> = LazyLock::new(|| {
    let rsa = generate::rsa(2048, &[1, 0, 1]).unwrap();
    let ec = Curve::ALL.iter().map(|curve| generate::ec(*curve).unwrap());
    std::iter::once(rsa).chain(ec).map(|pair| pair.pkcs8).collect()
});

/// The target.
pub fn run(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let valid = VALID[usize::from(*which) % VALID.len()].expose();
    let Ok(key) = PrivateKey::from_pkcs8(&Secret::new(raw_or_edited(valid, data))) else { return };
    let mechanism = match key.public() {
        PublicPart::Rsa { .. } => SignMechanism::RsaPkcs,
        PublicPart::Ec { .. } => SignMechanism::Ecdsa,
    };
    let signature = key.sign(mechanism, &[7; 32]).unwrap();
    assert_eq!(verify(key.public(), mechanism, &[7; 32], &signature), Ok(()));
}

/// To begin with: the bytes as they are, one changed, cut off.
pub fn seeds() -> Vec<Vec<u8>> {
    crate::edits(&[0, 1, 2, 3, 4])
}
