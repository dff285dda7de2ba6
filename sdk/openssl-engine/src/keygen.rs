//! RSA keys that OpenSSL asks for (`genrsa`, `req -newkey`): made in the HSMs where they can be.

use strongroom_client::PairAlgorithm;
use strongroom_client::reference_pem::marker_for;
use strongroom_crypto::random;
use strongroom_types::limits::{RSA_BITS_MAX, RSA_BITS_MIN, RSA_BITS_STEP, RSA_EXPONENT_MAX, RSA_EXPONENT_MIN};
use strongroom_types::{AttributeName, AttributeValue, Flag, PublicPart, Template};

use crate::error::EngineError;
use crate::hsms::Hsms;

/// Before eight hexadecimal digits in the label of a key made here, so that its maker finds it in a list.
const LABEL_PREFIX: &str = "openssl-genrsa-";

/// What the key object is filled with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Generated {
    /// n.
    pub(crate) modulus: Vec<u8>,
    /// e.
    pub(crate) public_exponent: Vec<u8>,
    /// What stands for d.
    pub(crate) private_integer: Vec<u8>,
}

/// The HSMs' parameters for what OpenSSL asks for, or none where the HSMs make no such key and OpenSSL does.
pub(crate) fn algorithm(bits: i32, public_exponent: &[u8]) -> Option<PairAlgorithm> {
    let modulus_bits = u32::try_from(bits).ok()?;
    let sized = (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&modulus_bits) && modulus_bits.is_multiple_of(RSA_BITS_STEP);
    let first = public_exponent.iter().position(|byte| *byte != 0)?;
    let exponent = public_exponent.get(first..)?;
    let number = if exponent.len() <= size_of::<u64>() {
        exponent.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte))
    } else {
        return None;
    };
    let fits = sized && (RSA_EXPONENT_MIN..=RSA_EXPONENT_MAX).contains(&number) && number % 2 == 1;
    fits.then(|| PairAlgorithm::Rsa { modulus_bits, public_exponent: exponent.to_vec() })
}

/// Makes a pair that signs and verifies.
pub(crate) fn generate(hsms: &impl Hsms, algorithm: &PairAlgorithm) -> Result<Generated, EngineError> {
    let label = format!("{LABEL_PREFIX}{:08x}", u32::from_be_bytes(random::bytes()));
    let template = |flag| -> Template {
        vec![
            (AttributeName::Label, AttributeValue::Text(label.clone())),
            (AttributeName::Flag(flag), AttributeValue::Bool(true)),
        ]
    };
    let made = hsms.generate(algorithm, &template(Flag::Verify), &template(Flag::Sign))?;
    match &made.attributes.public {
        Some(public @ PublicPart::Rsa { modulus, public_exponent }) => Ok(Generated {
            private_integer: marker_for(made.reference, public),
            modulus: modulus.clone(),
            public_exponent: public_exponent.clone(),
        }),
        _ => Err(EngineError::Answer("the new key has no modulus")),
    }
}

#[cfg(test)]
mod tests {
    use strongroom_client::reference_pem::Marker;

    use super::*;
    use crate::hsms::fake::{Fake, reference};

    #[test]
    fn sizes_and_exponents_at_below_and_above_what_the_hsms_make() {
        let check = |bits, exponent: &[u8], expected| {
            let made = algorithm(bits, exponent);
            assert_eq!(made.is_some(), expected, "{bits} {exponent:?}");
            if let Some(made) = made {
                let modulus_bits = u32::try_from(bits).unwrap();
                let public_exponent = exponent.iter().copied().skip_while(|byte| *byte == 0).collect();
                assert_eq!(made, PairAlgorithm::Rsa { modulus_bits, public_exponent });
            }
        };
        for bits in (2048..=4096).step_by(256) {
            check(bits, &[1, 0, 1], true);
        }
        for bits in [-1, 0, 512, 1024, 1792, 2047, 2049, 2056, 4097, 4352, 8192, i32::MAX] {
            check(bits, &[1, 0, 1], false);
        }
        check(2048, &[0, 1, 0, 1], true);
        check(2048, &[0xff, 0xff, 0xff, 0xff], true);
        for exponent in [&[][..], &[0], &[3], &[0xff, 0xff], &[1, 0, 0], &[1, 0, 0, 0, 1], &[1; 9], &[1; 40]] {
            check(2048, exponent, false);
        }
    }

    #[test]
    fn a_new_key_signs_has_a_label_and_leaves_a_marker() {
        let hsms = Fake::default();
        let algorithm = algorithm(2048, &[1, 0, 1]).unwrap();
        let made = generate(&hsms, &algorithm).unwrap();
        let public = PublicPart::Rsa { modulus: made.modulus.clone(), public_exponent: made.public_exponent.clone() };
        let marker = Marker::parse(&made.private_integer).unwrap();
        assert!(marker.matches(&public) && marker.reference == reference(77));
        generate(&hsms, &algorithm).unwrap();
        let templates = hsms.templates.borrow();
        let label = |template: &Template| match &template[0] {
            (AttributeName::Label, AttributeValue::Text(label)) => label.clone(),
            other => panic!("{other:?}"),
        };
        for (asked, public, private) in templates.iter() {
            assert_eq!(*asked, algorithm);
            assert_eq!(label(public), label(private));
            assert!(label(private).starts_with(LABEL_PREFIX) && label(private).len() == LABEL_PREFIX.len() + 8);
            assert_eq!(public[1..], [(AttributeName::Flag(Flag::Verify), AttributeValue::Bool(true))]);
            assert_eq!(private[1..], [(AttributeName::Flag(Flag::Sign), AttributeValue::Bool(true))]);
        }
        assert_ne!(label(&templates[0].2), label(&templates[1].2));
    }
}
