//! Points of other sides, under keys on every curve, and fields of a function in counter mode: what is derived is as long as it
//! should be, from a point that is on the curve, and the same from its wrapped form.

use std::sync::LazyLock;

use strongroom_crypto::{der, spki};
use strongroom_crypto_keys::derive::{BaseKey, derive};
use strongroom_crypto_keys::{PrivateKey, generate};
use strongroom_types::{
    Curve, Derivation, EcdhKdf, HashFunction, KdfField, KeyType, Prf, PublicPart, Secret, point_in,
};

use crate::raw_or_edited;

struct Side {
    curve: Curve,
    own: PrivateKey,
    peer: Vec<u8>,
}

static SIDES: LazyLock<Vec<Side>> = LazyLock::new(|| {
    let side = |curve: Curve| {
        let own = PrivateKey::try_from(&generate::ec(curve).unwrap()).unwrap();
        let PublicPart::Ec { point, .. } = generate::ec(curve).unwrap().public else { unreachable!("an EC key") };
        Side { curve, own, peer: point }
    };
    Curve::WEIERSTRASS.into_iter().map(side).collect()
});

/// The target.
pub fn run(data: &[u8]) {
    let Some(([which, len], data)) = data.split_first_chunk() else { return };
    let side = &SIDES[usize::from(*which) % SIDES.len()];
    agree(side, usize::from(*len), &raw_or_edited(&side.peer, data));
    count(usize::from(*len), data);
}

fn agree(Side { curve, own, .. }: &Side, len: usize, peer: &[u8]) {
    let x963 = EcdhKdf::X963 { hash: HashFunction::Sha256, shared_info: peer.to_vec() };
    for kdf in [EcdhKdf::None, x963] {
        let of = |peer_point: Vec<u8>| {
            let derivation = Derivation::Ecdh { peer_point, kdf: kdf.clone() };
            let permitted = derivation.check(len, Some(*curve)).is_ok();
            let derived = derive(BaseKey::Private(own), &derivation, KeyType::GenericSecret, len).ok();
            assert!(permitted || derived.is_none(), "what the rules refuse is not derived");
            derived
        };
        let Some(derived) = of(peer.to_vec()) else { continue };
        assert_eq!(derived.len(), len);
        let point = point_in(*curve, peer).expect("a point").to_vec();
        assert!(spki::check(&PublicPart::Ec { curve: *curve, point: point.clone() }), "{point:02x?}");
        assert_eq!(of(der::octet_string(&point)), Some(derived));
    }
}

/// Fields as the bytes say: each begins with its kind, bytes with their length too.
fn count(len: usize, mut data: &[u8]) {
    let key = Secret::new(vec![7; 16]);
    let mut fields = Vec::new();
    while let Some(([kind, number], rest)) = data.split_first_chunk() {
        data = rest;
        fields.push(match kind % 3 {
            0 => KdfField::Counter { bits: *number },
            1 => KdfField::Length { bits: *number },
            _ => {
                let (bytes, rest) = data.split_at(data.len().min(usize::from(*number)));
                data = rest;
                KdfField::Bytes(bytes.to_vec())
            }
        });
    }
    for prf in [Prf::AesCmac, Prf::Hmac(HashFunction::Sha512)] {
        let derivation = Derivation::CounterKdf { prf, fields: fields.clone() };
        let permitted = derivation.check(len, None).is_ok();
        let derived = derive(BaseKey::Secret(&key), &derivation, KeyType::GenericSecret, len);
        assert!(!permitted || derived.is_ok_and(|derived| derived.len() == len), "what the rules permit is derived");
    }
}

/// To begin with: of each curve the point as it is, changed, cut off; and fields in some orders.
pub fn seeds() -> Vec<Vec<u8>> {
    let edits = crate::edits(&[]);
    let points = (0..5).flat_map(|which| edits.iter().map(move |edit| [&[which, 32][..], edit].concat()));
    let fields: [&[u8]; 4] =
        [&[0, 40, 0, 8], &[0, 40, 0, 32, 1, 32], &[0, 200, 2, 2, 9, 9, 0, 16, 2, 1, 9, 1, 16], &[0, 40, 0, 24]];
    points.chain(fields.map(<[u8]>::to_vec)).collect()
}
