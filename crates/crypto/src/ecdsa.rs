//! The two forms of an ECDSA signature: r and s of fixed length one after the other (PKCS #11, IEEE P1363), and the
//! DER of RFC 3279 §2.2.3 that X.509 and TLS use.

use strongroom_types::Curve;

use crate::der::{self, Reader};

/// The DER of a raw signature; none when its halves are not of equal length or it is longer than a P-521 signature.
pub fn raw_to_der(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.is_empty() || !raw.len().is_multiple_of(2) || raw.len() > 2 * Curve::P521.field_len() {
        return None;
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    Some(der::sequence(&[&der::unsigned(r), &der::unsigned(s)]))
}

/// The raw form of a DER signature, twice [`Curve::field_len`] bytes; none when it is no signature of that curve.
pub fn der_to_raw(signature: &[u8], curve: Curve) -> Option<Vec<u8>> {
    let mut outer = Reader::new(signature);
    let mut inner = outer.sequence().ok()?;
    outer.finish().ok()?;
    let len = curve.field_len();
    let mut raw = Vec::with_capacity(2 * len);
    for _ in 0..2 {
        let number = inner.unsigned().ok()?;
        raw.resize(raw.len() + len.checked_sub(number.len())?, 0);
        raw.extend_from_slice(number);
    }
    inner.finish().ok()?;
    Some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_read_back() {
        for curve in Curve::WEIERSTRASS {
            let len = curve.field_len();
            for (r, s) in [(0x01, 0x80), (0xff, 0x7f)] {
                let mut raw = vec![0; 2 * len];
                raw[len - 1] = r;
                raw[2 * len - 1] = s;
                raw[len] = s;
                assert_eq!(der_to_raw(&raw_to_der(&raw).unwrap(), curve).unwrap(), raw);
            }
        }
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let der = raw_to_der(&[0x11; 64]).unwrap();
        for cut in 0..der.len() {
            assert_eq!(der_to_raw(&der[..cut], Curve::P256), None);
        }
        assert_eq!(der_to_raw(&[&der[..], &[0]].concat(), Curve::P256), None);
        assert_eq!(der_to_raw(&der, Curve::P224), None, "r has too many bytes for the curve");
        for len in [0, 1, 63, 134] {
            assert_eq!(raw_to_der(&vec![1; len]), None);
        }
    }
}
