//! Reference files: what is read as one names a key and has the public part that the marker was made for.

use std::sync::LazyLock;

use crate::raw_or_edited;
use strongroom_client::reference_pem::{self, Comment, Marker};
use strongroom_crypto_keys::generate;
use strongroom_types::{Curve, KeyReference, Secret};

static VALID: LazyLock<Vec<String>> = LazyLock::new(|| {
    let rsa = generate::rsa(2048, &[1, 0, 1]).unwrap();
    let pairs = [rsa, generate::ec(Curve::P256).unwrap(), generate::ec(Curve::P521).unwrap()];
    let reference = KeyReference::from_u64(0x1234_5678_9abc).unwrap();
    let comment = Comment { label: "a key", cluster_id: "cluster-abcdefghijk" };
    pairs.iter().map(|pair| reference_pem::encode(reference, &pair.public, &comment).expect("has a form")).collect()
});

/// The target.
pub fn run(data: &[u8]) {
    if let Some(marker) = Marker::parse(data) {
        assert_eq!(Marker::parse(&marker.private_integer()), Some(marker));
    }
    let Some((which, data)) = data.split_first() else { return };
    let valid = VALID[usize::from(*which) % VALID.len()].as_bytes();
    if let Ok(read) = reference_pem::decode(&Secret::new(raw_or_edited(valid, data))) {
        assert!(read.marker.matches(&read.public));
    }
}

/// To begin with: the bytes as they are, one changed, cut off.
pub fn seeds() -> Vec<Vec<u8>> {
    crate::edits(&[0, 1, 2])
}
