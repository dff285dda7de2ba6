//! Mechanisms: what there is (`table`), what a caller's `CK_MECHANISM` says (`read`), and whether a key fits one (`keys`).
//!
//! * A parameter is copied out of the caller's memory once, in `C_*Init`, and checked to the byte: sizes, pointers, ranges.
//! * Memory of the caller is reached through [`Memory`] alone, so that reading is safe code, fuzzed without pointers.

#[cfg(any(test, feature = "fuzz"))]
mod flat;
mod keys;
mod read;
mod table;

use cryptoki_sys::CK_MECHANISM_TYPE;
use strongroom_ffi::PointerError;
use strongroom_types::{AES_BLOCK_LEN, DES_BLOCK_LEN, Derivation, GcmTag, HashFunction};

#[cfg(feature = "fuzz")]
pub use self::flat::{MECHANISMS, mechanism_in};
pub(crate) use self::keys::Use;
pub(crate) use self::read::read;
pub(crate) use self::table::{Row, info, list};
#[cfg(test)]
pub(crate) use self::table::{TABLE, row};
use crate::entry::IvBuffer;

/// A mechanism with its parameter.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(crate) struct Mechanism {
    /// Which.
    pub(crate) row: &'static Row,
    /// Its parameter.
    pub(crate) parameter: Parameter,
}

impl Mechanism {
    /// Its number.
    pub(crate) fn number(&self) -> CK_MECHANISM_TYPE {
        self.row.number
    }
}

/// What a mechanism's parameter says.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(crate) enum Parameter {
    /// Nothing, or nothing but what the mechanism says already.
    None,
    /// AES in CBC mode: the initialisation vector.
    AesIv([u8; AES_BLOCK_LEN]),
    /// 3DES in CBC mode: the initialisation vector.
    Des3Iv([u8; DES_BLOCK_LEN]),
    /// CTR.
    Ctr {
        /// Low bits of the block that count, 1 to 128.
        bits: u32,
        /// The first counter block.
        block: [u8; AES_BLOCK_LEN],
    },
    /// GCM.
    Gcm(GcmParameter),
    /// RSA-PSS.
    Pss {
        /// Hash of the message and of MGF1.
        hash: HashFunction,
        /// Length of the salt in bytes.
        salt_len: u16,
    },
    /// RSA-OAEP, alone or within RSA-AES wrapping.
    Oaep {
        /// Hash of the label, which is empty, and of MGF1.
        hash: HashFunction,
    },
    /// Ed25519ph with an empty context.
    Ed25519Ph,
    /// Derivations.
    Derive(Derivation),
}

/// The parameter of `CKM_AES_GCM` and `CKM_CLOUDHSM_AES_GCM`. Which IV must be there depends on what is done with it.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(crate) struct GcmParameter {
    /// The caller's bytes, for decrypting and unwrapping.
    pub(crate) iv: Vec<u8>,
    /// Where the caller wants the HSM's, for encrypting and wrapping; none where `pIv` is null.
    pub(crate) buffer: Option<IvBuffer>,
    /// Additional authenticated data.
    pub(crate) aad: Vec<u8>,
    /// Length of the tag.
    pub(crate) tag: GcmTag,
}

/// A caller's memory.
pub(crate) trait Memory {
    /// Copies as many bytes as `into` has from this address on. Null is refused.
    fn copy(&self, from: usize, into: &mut [u8]) -> Result<(), PointerError>;
    /// The buffer at this address, of so many bytes, to be written later.
    fn buffer(&self, at: usize, len: usize) -> IvBuffer;
}
