use strongroom_types::MlDsaAlgorithm;

use super::*;

fn rsa_public() -> PublicPart {
    let modulus = (0..256).map(|n: usize| n.to_le_bytes()[0] | 0x81).collect();
    PublicPart::Rsa { modulus, public_exponent: vec![1, 0, 1] }
}

fn ec_public(curve: Curve) -> PublicPart {
    let point = [vec![4], vec![curve.oid()[curve.oid().len() - 1] | 1; 2 * curve.field_len()]].concat();
    PublicPart::Ec { curve, point }
}

fn publics() -> Vec<PublicPart> {
    Curve::WEIERSTRASS.into_iter().map(ec_public).chain([rsa_public()]).collect()
}

fn reference() -> KeyReference {
    KeyReference::from_u64(0x0000_1234_5678_9abc).unwrap()
}

fn file(public: &PublicPart) -> String {
    encode(reference(), public, &Comment { label: "web", cluster_id: "cluster-aaaaaaaaaaa" }).expect("has a form")
}

fn read(file: &str) -> Result<Reference, ReferencePemError> {
    decode(&Secret::from(file.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn files_read_back_for_every_kind_of_key() {
    for public in publics() {
        let expected = Reference { marker: Marker::new(reference(), &public), public: public.clone() };
        assert_eq!(read(&file(&public)), Ok(expected));
        assert_eq!(read(&file(&public).replace('\n', "\r\n")).unwrap().public, public);
    }
}

/// The vector of `docs/spec/reference-pem.md`.
#[test]
fn the_private_integer_is_the_documented_one() {
    let base_point = concat!(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    );
    let byte = |at: usize| u8::from_str_radix(&base_point[at..at + 2], 16).unwrap();
    let point = (0..base_point.len()).step_by(2).map(byte).collect();
    let integer = marker_for(reference(), &PublicPart::Ec { curve: Curve::P256, point });
    assert_eq!(integer.len(), 104);
    assert_eq!(&integer[..77], SENTENCE);
    assert_eq!(hex(&integer[77..]), "0153525245460000123456789abc5cd252fb0ce8932436faf8ccd1");
}

#[test]
fn a_marker_survives_what_holders_of_integers_do() {
    let integer = marker_for(reference(), &rsa_public());
    let marker = Marker::new(reference(), &rsa_public());
    for zeros in [0, 1, 8, 152, 1000] {
        let padded = [&vec![0; zeros][..], &integer].concat();
        assert_eq!(Marker::parse(&padded), Some(marker), "{zeros} leading zeros");
        let short = [&vec![0; zeros][..], &integer[77..]].concat();
        assert_eq!(Marker::parse(&short), Some(marker), "{zeros} leading zeros, the marker alone");
    }
}

#[test]
fn whatever_is_no_marker_is_refused() {
    let integer = marker_for(reference(), &rsa_public());
    for cut in 0..integer.len() {
        assert_eq!(Marker::parse(&integer[..cut]), None, "cut to {cut}");
    }
    // Sentence, version and magic count; the reference and the digest are what they are.
    for at in 0..83 {
        let mut changed = integer.clone();
        changed[at] ^= 0x20;
        assert_eq!(Marker::parse(&changed), None, "byte {at} changed");
    }
    let mut version_2 = integer.clone();
    version_2[77] = 2;
    assert_eq!(Marker::parse(&version_2), None);
    let mut no_reference = integer.clone();
    no_reference[83..91].fill(0);
    assert_eq!(Marker::parse(&no_reference), None);
    assert_eq!(Marker::parse(&[&integer[..], &[0]].concat()), None);
    for real in [&[][..], &[0; 64], &[1], &[0xff; 32], &[0xff; 66], &[0x5a; 256]] {
        assert_eq!(Marker::parse(real), None);
    }
}

#[test]
fn a_marker_belongs_to_one_public_part() {
    for made_for in publics() {
        let marker = Marker::new(reference(), &made_for);
        for other in publics() {
            assert_eq!(marker.matches(&other), made_for == other);
        }
    }
    let (ours, other) = (ec_public(Curve::P256), ec_public(Curve::Secp256k1));
    let PublicPart::Ec { curve, point } = &other else { unreachable!("an EC key") };
    let mixed = pem::encode(EC_LABEL, &ec(*curve, point, &marker_for(reference(), &ours)));
    assert_eq!(read(&mixed), Err(ReferencePemError::Mixed));
}

#[test]
fn pkcs8_copies_read_back() {
    let integer = |public: &PublicPart| marker_for(reference(), public);
    let rsa_oid = der::oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]);
    let ec_oid = der::oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]);
    for public in publics() {
        let (algorithm, inner) = match &public {
            PublicPart::MlDsa { .. } => unreachable!("not among those that have a file"),
            PublicPart::Rsa { modulus, public_exponent } => {
                (der::sequence(&[&rsa_oid, &der::NULL]), rsa(modulus, public_exponent, &integer(&public)))
            }
            PublicPart::Ec { curve, point } => (
                der::sequence(&[&ec_oid, &der::oid(curve.oid())]),
                der::sequence(&[
                    &der::unsigned(&[1]),
                    &der::octet_string(&integer(&public)),
                    &der::element(tag::context(1), &[&der::bit_string(point)]),
                ]),
            ),
        };
        let info = der::sequence(&[&der::unsigned(&[]), &algorithm, &der::octet_string(&inner)]);
        assert_eq!(read(&pem::encode(pem::PRIVATE_KEY, &info)).unwrap().public, public);
    }
}

#[test]
fn other_files_are_refused_and_say_why() {
    let check = |file: &str, expected| assert_eq!(read(file), Err(expected), "{file}");
    check("", ReferencePemError::Pem(PemError::Missing { label: "PRIVATE KEY" }));
    check("-----BEGIN RSA PRIVATE KEY-----\n", ReferencePemError::Pem(PemError::Unfinished { label: RSA_LABEL }));
    check(&pem::encode(EC_LABEL, &[0x30]), ReferencePemError::Der(DerError::Truncated));
    let PublicPart::Ec { curve, point } = ec_public(Curve::P256) else { unreachable!("an EC key") };
    check(&pem::encode(EC_LABEL, &ec(curve, &point, &[7; 32])), ReferencePemError::NotAReference);
    let PublicPart::Rsa { modulus, public_exponent } = rsa_public() else { unreachable!("an RSA key") };
    check(&pem::encode(RSA_LABEL, &rsa(&modulus, &public_exponent, &[9; 256])), ReferencePemError::NotAReference);
    for public in publics() {
        let text = file(&public);
        let (label, der) = match &public {
            PublicPart::MlDsa { .. } => unreachable!("not among those that have a file"),
            PublicPart::Rsa { modulus, public_exponent } => {
                (RSA_LABEL, rsa(modulus, public_exponent, &marker_for(reference(), &public)))
            }
            PublicPart::Ec { curve, point } => (EC_LABEL, ec(*curve, point, &marker_for(reference(), &public))),
        };
        assert!(text.ends_with(&pem::encode(label, &der)));
        for cut in 0..der.len() {
            assert!(read(&pem::encode(label, &der[..cut])).is_err(), "cut to {cut}");
        }
    }
}

#[test]
fn a_label_cannot_become_a_block() {
    let label = "a\n-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\r";
    let text =
        encode(reference(), &rsa_public(), &Comment { label, cluster_id: "cluster-aaaaaaaaaaa" }).expect("has a form");
    assert_eq!(text.lines().filter(|line| line.starts_with("-----BEGIN")).count(), 1);
    assert_eq!(read(&text).unwrap().public, rsa_public());
}

#[test]
fn keys_without_room_for_a_marker_have_no_file() {
    let algorithm = MlDsaAlgorithm::MlDsa44;
    let ml_dsa = PublicPart::MlDsa { algorithm, key: vec![7; algorithm.public_len()] };
    for public in [PublicPart::Ec { curve: Curve::Ed25519, point: vec![7; 32] }, ml_dsa] {
        assert_eq!(encode(reference(), &public, &Comment { label: "web", cluster_id: "cluster-aaaaaaaaaaa" }), None);
    }
}
