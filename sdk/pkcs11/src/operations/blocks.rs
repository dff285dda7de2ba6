//! ECB and CBC, with and without padding: whole blocks go out as they come, the rest is held.

use cryptoki_sys::CKR_ENCRYPTED_DATA_INVALID;
use strongroom_types::buffers::SecretBuffer;
use strongroom_types::limits::CIPHER_DATA_LEN_MAX;
use strongroom_types::{AES_BLOCK_LEN, CipherMechanism, DES_BLOCK_LEN, Secret};

use super::cipher::{Asking, Direction};
use super::{Hsms, give, give_at_most};
use crate::entry::{Output, Room};
use crate::failure::Failure;

/// How one block follows another.
#[derive(Clone)]
pub(super) enum Chain {
    /// The block before is the next initialisation vector.
    AesCbc([u8; AES_BLOCK_LEN]),
    AesEcb,
    Des3Cbc([u8; DES_BLOCK_LEN]),
    Des3Ecb,
}

impl Chain {
    fn block_len(&self) -> usize {
        match self {
            Chain::AesCbc(_) | Chain::AesEcb => AES_BLOCK_LEN,
            Chain::Des3Cbc(_) | Chain::Des3Ecb => DES_BLOCK_LEN,
        }
    }

    fn mechanism(&self) -> CipherMechanism {
        match self {
            Chain::AesCbc(iv) => CipherMechanism::AesCbc { iv: *iv },
            Chain::AesEcb => CipherMechanism::AesEcb,
            Chain::Des3Cbc(iv) => CipherMechanism::Des3Cbc { iv: *iv },
            Chain::Des3Ecb => CipherMechanism::Des3Ecb,
        }
    }

    /// Goes on behind this ciphertext.
    fn follow(&mut self, ciphertext: &[u8]) {
        match self {
            Chain::AesCbc(iv) => *iv = ciphertext.last_chunk().copied().unwrap_or(*iv),
            Chain::Des3Cbc(iv) => *iv = ciphertext.last_chunk().copied().unwrap_or(*iv),
            Chain::AesEcb | Chain::Des3Ecb => {}
        }
    }

    /// Whole blocks one way: one request, unless they are more than one takes.
    fn run(&mut self, asking: &Asking<'_, impl Hsms>, blocks: &[u8]) -> Result<Secret, Failure> {
        if blocks.len() <= CIPHER_DATA_LEN_MAX {
            return self.step(asking, blocks);
        }
        let mut all = SecretBuffer::with_capacity(blocks.len());
        for piece in blocks.chunks(CIPHER_DATA_LEN_MAX) {
            all.push(self.step(asking, piece)?.expose());
        }
        Ok(all.into_secret())
    }

    fn step(&mut self, asking: &Asking<'_, impl Hsms>, blocks: &[u8]) -> Result<Secret, Failure> {
        let made = asking.ask_alike(&self.mechanism(), blocks)?;
        self.follow(match asking.direction {
            Direction::Decrypt => blocks,
            Direction::Encrypt => made.expose(),
        });
        Ok(made)
    }
}

/// Data that come in parts of any length.
pub(super) struct Blocks {
    chain: Chain,
    is_padded: bool,
    /// What does not make a block yet; where padding is taken off, the last block too.
    held: SecretBuffer,
}

impl Blocks {
    pub(super) fn new(chain: Chain, is_padded: bool) -> Blocks {
        let held = SecretBuffer::with_capacity(chain.block_len());
        Blocks { chain, is_padded, held }
    }

    fn holds_back(&self, direction: Direction) -> bool {
        self.is_padded && direction == Direction::Decrypt
    }

    /// Data in one part. The chain stays as it is, for the call may come again with more room.
    pub(super) fn whole(&self, asking: &Asking<'_, impl Hsms>, data: &[u8], room: Room) -> Result<Output, Failure> {
        let block_len = self.chain.block_len();
        let is_whole = data.len().is_multiple_of(block_len);
        match (asking.direction, self.is_padded) {
            (Direction::Encrypt, true) => {
                let padded_len = data.len() + padding_len(data.len(), block_len);
                give(padded_len, room, || self.chain.clone().run(asking, &padded(data, block_len)))
            }
            (Direction::Decrypt, true) if is_whole && !data.is_empty() => {
                give_at_most(data.len(), room, || unpadded(self.chain.clone().run(asking, data)?, block_len))
            }
            (_, false) if is_whole => give(data.len(), room, || self.chain.clone().run(asking, data)),
            _ => Err(no_blocks(asking.direction)),
        }
    }

    /// The next part, and the blocks that it makes whole.
    pub(super) fn update(
        &mut self,
        asking: &Asking<'_, impl Hsms>,
        part: &[u8],
        room: Room,
    ) -> Result<Output, Failure> {
        let block_len = self.chain.block_len();
        let all = self.held.len() + part.len();
        let ready = if self.holds_back(asking.direction) { all.saturating_sub(1) } else { all };
        let ready = ready - ready % block_len;
        give(ready, room, || {
            // Of the part, for what is held is never more than a block.
            let Some((now, later)) = ready.checked_sub(self.held.len()).map(|now| part.split_at(now)) else {
                self.held.push(part);
                return Ok(Secret::new(Vec::new()));
            };
            let made = if self.held.is_empty() {
                self.chain.run(asking, now)?
            } else {
                let mut joined = SecretBuffer::with_capacity(ready);
                joined.push(&self.held);
                joined.push(now);
                self.chain.run(asking, &joined)?
            };
            self.held.clear();
            self.held.push(later);
            Ok(made)
        })
    }

    /// What is left.
    pub(super) fn finish(&self, asking: &Asking<'_, impl Hsms>, room: Room) -> Result<Output, Failure> {
        let held = Blocks { chain: self.chain.clone(), is_padded: self.is_padded, held: SecretBuffer::default() };
        held.whole(asking, &self.held, room)
    }
}

fn no_blocks(direction: Direction) -> Failure {
    Failure::call(direction.wrong_length(), "the data are no whole blocks")
}

fn padding_len(len: usize, block_len: usize) -> usize {
    block_len - len % block_len
}

/// PKCS #5's padding, for blocks of any length (RFC 5652 §6.3): always a byte at least, each of them their number.
fn padded(data: &[u8], block_len: usize) -> SecretBuffer {
    let padding = padding_len(data.len(), block_len);
    let mut padded = SecretBuffer::with_capacity(data.len() + padding);
    padded.push(data);
    padded.push(&vec![u8::try_from(padding).unwrap_or_default(); padding]);
    padded
}

/// What stood before the padding. Which byte of it is wrong is told neither by the answer nor by its time.
fn unpadded(data: Secret, block_len: usize) -> Result<Secret, Failure> {
    let bytes = data.expose();
    let padding = bytes.last().copied().unwrap_or_default();
    let mut wrong = u8::from(padding == 0) | u8::from(usize::from(padding) > block_len);
    for (place, byte) in (1_u8..).zip(bytes.iter().rev().take(block_len)) {
        wrong |= u8::from(place <= padding) & u8::from(*byte != padding);
    }
    let plain = bytes.len().checked_sub(padding.into()).and_then(|len| bytes.get(..len));
    match plain {
        Some(plain) if wrong == 0 => Ok(Secret::from(plain)),
        _ => Err(Failure::call(
            CKR_ENCRYPTED_DATA_INVALID,
            "the padding is wrong: another key, another IV, or altered data",
        )),
    }
}
