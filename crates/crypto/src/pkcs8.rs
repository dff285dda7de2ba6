//! PKCS #8 (RFC 5208, RFC 5958) of a private key that a program has in parts, as an HSM takes it in. Nothing is checked here:
//! the HSM does.

use strongroom_types::matching::without_leading_zeros;
use strongroom_types::{Curve, Secret};
use zeroize::Zeroizing;

use crate::der;
use crate::spki::{EC_PUBLIC_KEY, RSA_ENCRYPTION};

/// An RSA private key, numbers big-endian. What is not known beside modulus and exponents is empty: the HSM computes it, and
/// refuses what is given and is not so.
#[derive(Clone, Copy, Debug)]
pub struct RsaParts<'a> {
    /// n.
    pub modulus: &'a [u8],
    /// e.
    pub public_exponent: &'a [u8],
    /// d.
    pub private_exponent: &'a Secret,
    /// p.
    pub prime_1: &'a Secret,
    /// q.
    pub prime_2: &'a Secret,
    /// d mod (p − 1).
    pub exponent_1: &'a Secret,
    /// d mod (q − 1).
    pub exponent_2: &'a Secret,
    /// The inverse of q mod p.
    pub coefficient: &'a Secret,
}

/// Of an RSA key (RFC 8017 §A.1.2). A part that is not known is the number 0.
pub fn rsa(parts: &RsaParts<'_>) -> Secret {
    let secrets =
        [parts.private_exponent, parts.prime_1, parts.prime_2, parts.exponent_1, parts.exponent_2, parts.coefficient];
    let secrets = secrets.map(|part| Zeroizing::new(der::unsigned(part.expose())));
    let numbers = [&[0][..], parts.modulus, parts.public_exponent].map(der::unsigned);
    let numbers: Vec<&[u8]> = numbers.iter().chain(secrets.iter().map(|secret| &**secret)).map(Vec::as_slice).collect();
    let key = Zeroizing::new(der::sequence(&numbers));
    info(&der::sequence(&[&der::oid(RSA_ENCRYPTION), &der::NULL]), &key)
}

/// Of an EC key, of its scalar (SEC 1 §C.4), big-endian; of Ed25519 the 32 bytes of RFC 8032. None when it has more bytes than
/// the curve.
pub fn ec(curve: Curve, private: &Secret) -> Option<Secret> {
    if !curve.is_weierstrass() {
        let seed = (private.len() == curve.field_len()).then(|| Zeroizing::new(der::octet_string(private.expose())))?;
        return Some(info(&der::sequence(&[&der::oid(curve.oid())]), &seed));
    }
    let digits = without_leading_zeros(private.expose());
    let mut scalar = Zeroizing::new(vec![0; curve.field_len().checked_sub(digits.len())?]);
    scalar.reserve_exact(digits.len());
    scalar.extend_from_slice(digits);
    let scalar = Zeroizing::new(der::octet_string(&scalar));
    let key = Zeroizing::new(der::sequence(&[&der::unsigned(&[1]), &scalar]));
    Some(info(&der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(curve.oid())]), &key))
}

fn info(algorithm: &[u8], key: &[u8]) -> Secret {
    let key = Zeroizing::new(der::octet_string(key));
    Secret::new(der::sequence(&[&der::unsigned(&[0]), algorithm, &key]))
}
