//! Private keys: what was read signs, and its signature verifies.

use std::sync::LazyLock;

use crate::raw_or_edited;
use strongroom_crypto::der::{Reader, tag};
use strongroom_crypto::pkcs8::{self, RsaParts};
use strongroom_crypto::verify::verify;
use strongroom_crypto_keys::generate::GeneratedPair;
use strongroom_crypto_keys::import;
use strongroom_crypto_keys::{PrivateKey, generate};
use strongroom_types::{Curve, KeyType, MlDsaAlgorithm, PublicPart, Secret, SignMechanism};

/// An RSA key of which modulus and exponents alone are known.
fn without_primes(pair: &GeneratedPair) -> Secret {
    let mut info = Reader::new(pair.pkcs8.expose()).sequence().unwrap();
    let (_, _) = (info.any().unwrap(), info.any().unwrap());
    let mut key = Reader::new(info.read(tag::OCTET_STRING).unwrap()).sequence().unwrap();
    let [_, modulus, public_exponent, d] = std::array::from_fn(|_| key.unsigned().unwrap());
    let (none, d) = (Secret::new(Vec::new()), Secret::from(d));
    pkcs8::rsa(&RsaParts {
        modulus,
        public_exponent,
        private_exponent: &d,
        prime_1: &none,
        prime_2: &none,
        exponent_1: &none,
        exponent_2: &none,
        coefficient: &none,
    })
}

static VALID: LazyLock<Vec<Secret>> = LazyLock::new(|| {
    let rsa = generate::rsa(2048, &[1, 0, 1]).unwrap();
    let bare = without_primes(&rsa);
    let ec = Curve::ALL.iter().map(|curve| generate::ec(*curve).unwrap());
    let ml_dsa = generate::ml_dsa(MlDsaAlgorithm::MlDsa44).unwrap();
    std::iter::once(rsa).chain(ec).chain([ml_dsa]).map(|pair| pair.pkcs8).chain([bare]).collect()
});

/// The target.
pub fn run(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let valid = VALID[usize::from(*which) % VALID.len()].expose();
    let bytes = Secret::new(raw_or_edited(valid, data));
    let imported = [KeyType::Rsa, KeyType::Ec].map(|key_type| import::private(key_type, &bytes).ok());
    let Ok(key) = PrivateKey::from_pkcs8(&bytes) else {
        // What cannot be read is an RSA key with parts missing, or is not brought in.
        let [rsa, ec] = imported;
        assert!(ec.is_none());
        rsa.iter().for_each(is_kept);
        return;
    };
    for pair in imported.iter().flatten() {
        // It is that key.
        assert_eq!(&pair.public, key.public());
        is_kept(pair);
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

/// What is kept of a key that was brought in is a key that can be read, and its own only form.
fn is_kept(pair: &GeneratedPair) {
    assert_eq!(PrivateKey::from_pkcs8(&pair.pkcs8).unwrap().public(), &pair.public);
    let again = import::private(pair.public.key_type(), &pair.pkcs8).unwrap();
    assert_eq!(again.pkcs8.expose(), pair.pkcs8.expose());
}

/// To begin with: the bytes as they are, one changed, cut off.
pub fn seeds() -> Vec<Vec<u8>> {
    crate::edits(&[0, 1, 2, 3, 4, 5, 6, 7, 8])
}
