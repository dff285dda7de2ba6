//! RSA private keys of which not all parts are known.

use strongroom_crypto::der::{DerError, Reader, tag};
use strongroom_crypto::spki::RSA_ENCRYPTION;
use strongroom_types::Secret;

use super::ImportError;
use crate::private_key::{bits, check_exponent, check_rsa_bits};
use crate::sys::{self, RsaNumbers};

/// The whole key, if the bytes are an RSA key (RFC 8017 §A.1.2) in which numbers are 0. None for all others, bytes that are
/// no key among them.
pub(super) fn with_missing_parts(pkcs8: &Secret) -> Result<Option<Secret>, ImportError> {
    let Ok(Some(numbers)) = read(pkcs8.expose()) else { return Ok(None) };
    let RsaNumbers { prime_1, prime_2, exponent_1, exponent_2, coefficient, .. } = &numbers;
    let parts = [prime_1, prime_2, exponent_1, exponent_2, coefficient];
    if parts.iter().all(|part| !part.is_empty()) {
        return Ok(None);
    }
    // Before anything is calculated with it.
    let fits = check_rsa_bits(bits(numbers.modulus)).is_ok()
        && check_exponent(numbers.public_exponent).is_ok()
        && numbers.private_exponent.len() <= numbers.modulus.len()
        && parts.iter().all(|part| part.len() <= numbers.modulus.len());
    if !fits {
        return Err(ImportError);
    }
    sys::completed(&numbers).map(Some).ok_or(ImportError)
}

/// The numbers of an RSA key; none of a key of another type.
fn read(pkcs8: &[u8]) -> Result<Option<RsaNumbers<'_>>, DerError> {
    let mut outer = Reader::new(pkcs8);
    let mut info = outer.sequence()?;
    outer.finish()?;
    info.unsigned()?;
    if info.sequence()?.read(tag::OID)? != RSA_ENCRYPTION {
        return Ok(None);
    }
    let mut key = Reader::new(info.read(tag::OCTET_STRING)?);
    let mut numbers = key.sequence()?;
    key.finish()?;
    // Version 0: two primes.
    if !numbers.unsigned()?.is_empty() {
        return Ok(None);
    }
    let read = RsaNumbers {
        modulus: numbers.unsigned()?,
        public_exponent: numbers.unsigned()?,
        private_exponent: numbers.unsigned()?,
        prime_1: numbers.unsigned()?,
        prime_2: numbers.unsigned()?,
        exponent_1: numbers.unsigned()?,
        exponent_2: numbers.unsigned()?,
        coefficient: numbers.unsigned()?,
    };
    numbers.finish()?;
    Ok(Some(read))
}
