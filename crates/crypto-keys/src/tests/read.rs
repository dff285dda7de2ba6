use strongroom_types::{Curve, MlDsaAlgorithm, PublicPart, Secret};

use super::{ec, ml_dsa, opened_pem, pkcs8_of, rsa};
use crate::{KeyError, PrivateKey};

fn read(pkcs8: &[u8]) -> Result<PrivateKey, KeyError> {
    PrivateKey::from_pkcs8(&Secret::from(pkcs8))
}

#[test]
fn keys_that_openssl_made_are_read() {
    let key = opened_pem(include_bytes!("keys/rsa-2048.pem")).unwrap();
    assert!(matches!(key.public(), PublicPart::Rsa { modulus, .. } if modulus.len() == 256));
    let key = opened_pem(include_bytes!("keys/ec-p256.pem")).unwrap();
    assert!(matches!(key.public(), PublicPart::Ec { curve: Curve::P256, .. }));
    let key = opened_pem(include_bytes!("keys/ed25519.pem")).unwrap();
    assert!(matches!(key.public(), PublicPart::Ec { curve: Curve::Ed25519, .. }));
}

#[test]
fn keys_of_another_kind_or_size_are_refused() {
    let check = |pem: &[u8], expected: KeyError| assert_eq!(opened_pem(pem).err(), Some(expected));
    check(include_bytes!("keys/rsa-1024.pem"), KeyError::RsaBits);
    check(include_bytes!("keys/rsa-2176.pem"), KeyError::RsaBits);
    check(include_bytes!("keys/rsa-2048-e3.pem"), KeyError::Exponent);
    check(include_bytes!("keys/rsa-2048-e33.pem"), KeyError::Exponent);
    check(include_bytes!("keys/rsa-pss.pem"), KeyError::Pkcs8);
    check(include_bytes!("keys/ec-brainpool.pem"), KeyError::Pkcs8);
}

#[test]
fn only_a_whole_key_is_read() {
    let mut keys: Vec<&[u8]> = vec![rsa(2048).0.pkcs8.expose()];
    let pairs: Vec<_> = Curve::ALL.iter().map(|curve| ec(*curve).0).collect();
    keys.extend(pairs.iter().map(|pair| pair.pkcs8.expose()));
    let ml_dsa: Vec<_> = MlDsaAlgorithm::ALL.iter().map(|algorithm| ml_dsa(*algorithm).0).collect();
    keys.extend(ml_dsa.iter().map(|pair| pair.pkcs8.expose()));
    for pkcs8 in keys {
        for len in 0..pkcs8.len() {
            assert_eq!(read(&pkcs8[..len]).err(), Some(KeyError::Pkcs8), "cut to {len} of {}", pkcs8.len());
        }
        assert_eq!(read(&[pkcs8, &[0]].concat()).err(), Some(KeyError::Pkcs8));
        assert_eq!(read(&[pkcs8, pkcs8].concat()).err(), Some(KeyError::Pkcs8));
    }
    assert_eq!(read(&[0; 1000]).err(), Some(KeyError::Pkcs8));
}

/// Every number of an RSA key is checked against the others, so no single flipped bit passes: a key damaged in the
/// store would otherwise sign wrongly, and a wrong CRT result gives the primes away.
#[test]
fn a_flipped_bit_in_an_rsa_key_is_noticed() {
    let pkcs8 = pkcs8_of(include_bytes!("keys/rsa-2048.pem"));
    for at in 0..pkcs8.len() {
        let mut other = pkcs8.expose().to_vec();
        other[at] ^= 1 << (at % 8);
        let error = read(&other).err();
        let noticed = matches!(error, Some(KeyError::Pkcs8 | KeyError::Exponent | KeyError::RsaBits));
        assert!(noticed, "byte {at}: {error:?}");
    }
}

/// AWS-LC overlooks what stands behind the seed inside its OCTET STRING.
#[test]
fn an_ml_dsa_key_has_one_form() {
    let pkcs8 = ml_dsa(MlDsaAlgorithm::MlDsa44).0.pkcs8;
    // The lengths of the whole, of the OCTET STRING, and one byte more behind the seed.
    let mut longer = [pkcs8.expose(), &[0]].concat();
    longer[1] += 1;
    let octet_string = longer.windows(2).position(|two| two == [0x04, 34]).unwrap();
    longer[octet_string + 1] += 1;
    assert_eq!(read(&longer).err(), Some(KeyError::Pkcs8));
}

#[test]
fn an_ec_key_with_another_public_key_is_refused() {
    for curve in Curve::WEIERSTRASS {
        let (one, other) = (ec(curve).0, ec(curve).0);
        let PublicPart::Ec { point, .. } = &other.public else { panic!("not EC") };
        let mut mixed = one.pkcs8.expose().to_vec();
        let from = mixed.len() - point.len();
        mixed[from..].copy_from_slice(point);
        assert_eq!(read(&mixed).err(), Some(KeyError::Pkcs8), "{curve}");
        let mut outside = one.pkcs8.expose().to_vec();
        *outside.last_mut().unwrap() ^= 1;
        assert_eq!(read(&outside).err(), Some(KeyError::Pkcs8), "{curve}");
    }
}
