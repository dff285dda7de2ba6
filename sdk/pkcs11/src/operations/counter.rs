//! CTR: as many bytes go out as come in.
//!
//! The HSM counts in the whole block of 128 bits. A mechanism whose counter has fewer bits begins them anew where they
//! overflow, so a request ends there; after that many blocks the key stream would come again, which is refused.

use strongroom_types::buffers::SecretBuffer;
use strongroom_types::limits::CIPHER_DATA_LEN_MAX;
use strongroom_types::{AES_BLOCK_LEN, CipherMechanism, Secret};

use super::cipher::Asking;
use super::{Hsms, give};
use crate::entry::{Output, Room};
use crate::failure::Failure;

const BLOCK_LEN: u128 = AES_BLOCK_LEN as u128;

/// Where in the key stream the next byte is.
pub(super) struct Counter {
    /// The first counter block.
    first: u128,
    /// The bits of it that count.
    mask: u128,
    /// Bytes so far.
    used: u128,
}

impl Counter {
    /// At the beginning. `bits` are 1 to 128.
    pub(super) fn new(bits: u32, block: [u8; AES_BLOCK_LEN]) -> Counter {
        let mask = u128::MAX >> 128_u32.saturating_sub(bits).min(127);
        Counter { first: u128::from_be_bytes(block), mask, used: 0 }
    }

    /// Bytes of the whole key stream, as far as a number has them.
    fn len(&self) -> u128 {
        self.mask.saturating_add(1).saturating_mul(BLOCK_LEN)
    }

    /// The low bits of the counter block for the byte at this place.
    fn low(&self, at: u128) -> u128 {
        self.first.wrapping_add(at / BLOCK_LEN) & self.mask
    }

    /// The next bytes, and as many for them.
    pub(super) fn update(
        &mut self,
        asking: &Asking<'_, impl Hsms>,
        part: &[u8],
        room: Room,
    ) -> Result<Output, Failure> {
        if self.len() - self.used < part.len() as u128 {
            let why = "the counter has too few bits for so much data: the key stream would come again";
            return Err(Failure::call(asking.direction.wrong_length(), why));
        }
        give(part.len(), room, || {
            let mut at = self.used;
            let mut all = Vec::new();
            let mut left = part;
            while !left.is_empty() {
                let (piece, rest) = left.split_at(self.piece_len(at).min(left.len()));
                let made = self.piece(asking, at, piece)?;
                (at, left) = (at + piece.len() as u128, rest);
                if all.is_empty() && left.is_empty() {
                    self.used = at;
                    return Ok(made);
                }
                all.push(made);
            }
            self.used = at;
            let mut joined = SecretBuffer::with_capacity(part.len());
            all.iter().for_each(|made| joined.push(made.expose()));
            Ok(joined.into_secret())
        })
    }

    /// Bytes from this place on that one request takes: up to where the counter overflows.
    fn piece_len(&self, at: u128) -> usize {
        let within = at % BLOCK_LEN;
        let blocks = (self.mask - self.low(at)).saturating_add(1);
        let until_overflow = blocks.saturating_mul(BLOCK_LEN) - within;
        let most = CIPHER_DATA_LEN_MAX - usize::try_from(within).unwrap_or_default();
        usize::try_from(until_overflow).map_or(most, |len| len.min(most))
    }

    fn piece(&self, asking: &Asking<'_, impl Hsms>, at: u128, piece: &[u8]) -> Result<Secret, Failure> {
        let counter = (self.first & !self.mask | self.low(at)).to_be_bytes();
        let mechanism = CipherMechanism::AesCtr { counter };
        let within = usize::try_from(at % BLOCK_LEN).unwrap_or_default();
        if within == 0 {
            return asking.ask_alike(&mechanism, piece);
        }
        // The HSM begins with a block; what was used of it is asked for again and left out.
        let mut whole = SecretBuffer::with_capacity(within + piece.len());
        whole.push(&vec![0; within]);
        whole.push(piece);
        let made = asking.ask_alike(&mechanism, &whole)?;
        Ok(Secret::from(made.expose().get(within..).unwrap_or_default()))
    }
}
