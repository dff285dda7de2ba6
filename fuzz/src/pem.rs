//! The reader of PEM.

use strongroom_crypto::pem;
use strongroom_types::Secret;

const MAX: usize = 4;

/// The target.
pub fn run(data: &[u8]) {
    for label in [pem::CERTIFICATE, pem::CERTIFICATE_REQUEST, pem::PUBLIC_KEY] {
        // As it is, and as the content between the lines of a block.
        let block = [b"-----BEGIN ", label.as_bytes(), b"-----\n", data, b"\n-----END ", label.as_bytes(), b"-----\n"];
        for text in [data, &block.concat()] {
            let Ok(blocks) = pem::decode(label, text, MAX) else { continue };
            assert!((1..=MAX).contains(&blocks.len()));
            let again: String = blocks.iter().map(|block| pem::encode(label, block)).collect();
            assert_eq!(pem::decode(label, again.as_bytes(), MAX).as_ref(), Ok(&blocks));
        }
    }
    let _ = pem::decode_secret(pem::PRIVATE_KEY, &Secret::from(data));
}

/// To begin with: what is between the lines of a block, and blocks.
pub fn seeds() -> Vec<Vec<u8>> {
    let blocks = [pem::CERTIFICATE, pem::PRIVATE_KEY].map(|label| pem::encode(label, &[0x30; 100]));
    let both = blocks.concat();
    [blocks.map(String::into_bytes).to_vec(), vec![both.into_bytes(), b"MAMCAQA=".to_vec()]].concat()
}
