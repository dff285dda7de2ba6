//! What the tests of this room share, and those that need more than one of its modules.
//!
//! The keys in `keys/` were made by OpenSSL 3.0 for these tests and protect nothing.

mod ciphers;
mod csr;
mod decrypt;
mod derive;
mod generate;
mod import;
mod parts;
mod read;
mod sign;
mod wrap;
pub(crate) mod wycheproof;

use std::sync::OnceLock;

use num_bigint::BigUint;
use strongroom_crypto::pem;
use strongroom_types::{Curve, MlDsaAlgorithm, PublicPart, Secret};

use crate::generate::{self as make, GeneratedPair};
use crate::{KeyError, PrivateKey};

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A pair that was made once for all tests, and its private key.
type Made = (GeneratedPair, PrivateKey);

fn made(pair: Result<GeneratedPair, KeyError>) -> Made {
    let pair = pair.unwrap();
    let key = PrivateKey::try_from(&pair).unwrap();
    (pair, key)
}

/// RSA of 2048, 3072 or 4096 bits.
fn rsa(bits: u32) -> &'static Made {
    static KEYS: [OnceLock<Made>; 3] = [const { OnceLock::new() }; 3];
    let place = usize::try_from(bits / 1024).unwrap() - 2;
    KEYS[place].get_or_init(|| made(make::rsa(bits, &[1, 0, 1])))
}

const RSA_BITS: [u32; 3] = [2048, 3072, 4096];

fn ec(curve: Curve) -> Made {
    made(make::ec(curve))
}

fn ml_dsa(algorithm: MlDsaAlgorithm) -> Made {
    made(make::ml_dsa(algorithm))
}

fn numbers(public: &PublicPart) -> (BigUint, BigUint, usize) {
    let PublicPart::Rsa { modulus, public_exponent } = public else { panic!("not an RSA key: {public:?}") };
    (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(public_exponent), modulus.len())
}

/// A number as a block of `len` bytes.
fn block(number: &BigUint, len: usize) -> Vec<u8> {
    let bytes = number.to_bytes_be();
    let zeros = len - bytes.len();
    [vec![0; zeros], bytes].concat()
}

/// block^e mod n, computed by another library.
fn public_operation(public: &PublicPart, block_in: &[u8]) -> Vec<u8> {
    let (n, e, len) = numbers(public);
    block(&BigUint::from_bytes_be(block_in).modpow(&e, &n), len)
}

fn pkcs8_of(pem_text: &[u8]) -> Secret {
    pem::decode_secret(pem::PRIVATE_KEY, &Secret::from(pem_text)).unwrap()
}

fn opened_pem(pem_text: &[u8]) -> Result<PrivateKey, KeyError> {
    PrivateKey::from_pkcs8(&pkcs8_of(pem_text))
}
