//! Reading of a caller's parameter.
//!
//! Structures are read as the words that they are made of: on the platforms that there are, each of their fields lies in
//! words of its own. What is wrong with a parameter is `CKR_MECHANISM_PARAM_INVALID`, whatever it is.

use std::mem::size_of;

use cryptoki_sys::{
    CK_EDDSA_PARAMS, CK_FALSE, CK_GCM_PARAMS, CK_MECHANISM_TYPE, CK_RSA_AES_KEY_WRAP_PARAMS, CK_RSA_PKCS_OAEP_PARAMS,
    CK_RSA_PKCS_PSS_PARAMS, CK_ULONG, CKG_MGF1_SHA1, CKG_MGF1_SHA224, CKG_MGF1_SHA256, CKG_MGF1_SHA384,
    CKG_MGF1_SHA512, CKM_SHA_1, CKM_SHA224, CKM_SHA256, CKM_SHA384, CKM_SHA512, CKR_MECHANISM_INVALID,
    CKR_MECHANISM_PARAM_INVALID, CKZ_DATA_SPECIFIED,
};
use strongroom_types::limits::DATA_LEN_MAX;
use strongroom_types::{GcmTag, HashFunction};

use super::table::{Form, row};
use super::{GcmParameter, Mechanism, Memory, Parameter};
use crate::failure::Failure;

/// Bytes of an initialisation vector that a caller gives: SP 800-38D has longer ones, PKCS #11 has none.
const IV_LEN_MAX: usize = 256;
/// Bytes of a salt of RSA-PSS: what the longest modulus has room for, and more.
const SALT_LEN_MAX: usize = 512;
/// Bytes of the longest structure.
const STRUCTURE_LEN_MAX: usize = size_of::<CK_GCM_PARAMS>();
/// The one initialisation vector of AES key wrap (RFC 3394 §2.2.3.1).
const KEY_WRAP_IV: [u8; 8] = [0xa6; 8];

const fn words_of<T>() -> usize {
    size_of::<T>() / size_of::<CK_ULONG>()
}

const _: () = {
    assert!(size_of::<CK_ULONG>() == size_of::<usize>(), "a word is an address");
    assert!(words_of::<CK_EDDSA_PARAMS>() == 3);
    assert!(words_of::<CK_GCM_PARAMS>() == 6);
    assert!(words_of::<CK_RSA_AES_KEY_WRAP_PARAMS>() == 2);
    assert!(words_of::<CK_RSA_PKCS_OAEP_PARAMS>() == 5);
    assert!(words_of::<CK_RSA_PKCS_PSS_PARAMS>() == 3);
};

/// The mechanism of this number with the parameter at this address.
pub(crate) fn read(
    memory: &impl Memory,
    number: CK_MECHANISM_TYPE,
    at: usize,
    len: CK_ULONG,
) -> Result<Mechanism, Failure> {
    let invalid = Failure::call(CKR_MECHANISM_INVALID, "the library does not have this mechanism");
    let row = row(number).ok_or(invalid)?;
    let block = Block { memory, at, len: usize::try_from(len).map_err(|_| wrong("the parameter is too long"))? };
    let parameter = match row.form {
        Form::None => block.none().map(|()| Parameter::None),
        Form::Gcm => gcm(&block).map(Parameter::Gcm),
        Form::CloudhsmGcm => cloudhsm_gcm(&block),
        Form::Pss(hash) => pss(&block, hash),
        Form::Oaep => oaep(&block),
        Form::RsaAes => rsa_aes(&block),
        Form::Eddsa => eddsa(&block),
        Form::KeyWrap => key_wrap(&block),
    };
    Ok(Mechanism { row, parameter: parameter? })
}

fn wrong(why: &'static str) -> Failure {
    Failure::call(CKR_MECHANISM_PARAM_INVALID, why)
}

/// Bytes of a caller, not read yet.
struct Block<'a, M> {
    memory: &'a M,
    at: usize,
    len: usize,
}

impl<M: Memory> Block<'_, M> {
    /// Another one, to which this one points.
    fn to(&self, at: usize, len: usize) -> Block<'_, M> {
        Block { memory: self.memory, at, len }
    }

    fn is_absent(&self) -> bool {
        self.len == 0
    }

    fn none(&self) -> Result<(), Failure> {
        if self.is_absent() { Ok(()) } else { Err(wrong("the mechanism has no parameter")) }
    }

    fn bytes<const N: usize>(&self) -> Result<[u8; N], Failure> {
        if self.len != N {
            return Err(wrong("the parameter has another length"));
        }
        let mut bytes = [0; N];
        self.memory.copy(self.at, &mut bytes).map_err(|_| wrong("the parameter is null"))?;
        Ok(bytes)
    }

    /// A structure of so many words.
    fn words<const N: usize>(&self) -> Result<[usize; N], Failure> {
        if self.len != N * size_of::<usize>() {
            return Err(wrong("the parameter is not of its structure's size"));
        }
        let mut bytes = [0; STRUCTURE_LEN_MAX];
        let bytes = bytes.get_mut(..self.len).ok_or(wrong("the parameter is longer than any structure"))?;
        self.memory.copy(self.at, bytes).map_err(|_| wrong("the parameter is null"))?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(size_of::<usize>())) {
            *word = bytes.try_into().map_or(0, usize::from_ne_bytes);
        }
        Ok(words)
    }

    /// As many bytes as the caller says, up to a limit.
    fn up_to(&self, max: usize) -> Result<Vec<u8>, Failure> {
        match self.len {
            0 => Ok(Vec::new()),
            len if len > max => Err(wrong("a part of the parameter is too long")),
            len => {
                let mut bytes = vec![0; len];
                self.memory.copy(self.at, &mut bytes).map_err(|_| wrong("a part of the parameter is null"))?;
                Ok(bytes)
            }
        }
    }
}

fn gcm(block: &Block<'_, impl Memory>) -> Result<GcmParameter, Failure> {
    let [iv, iv_len, _iv_bits, aad, aad_len, tag_bits] = block.words()?;
    let tag = u32::try_from(tag_bits).ok().and_then(GcmTag::of_bits);
    let tag = tag.ok_or(wrong("ulTagBits is not 64, 96, 104, 112, 120 or 128"))?;
    let aad = block.to(aad, aad_len).up_to(DATA_LEN_MAX)?;
    let (bytes, buffer) = if iv == 0 {
        (Vec::new(), None)
    } else {
        (block.to(iv, iv_len).up_to(IV_LEN_MAX)?, Some(block.memory.buffer(iv, iv_len)))
    };
    Ok(GcmParameter { iv: bytes, buffer, aad, tag })
}

fn cloudhsm_gcm(block: &Block<'_, impl Memory>) -> Result<Parameter, Failure> {
    let parameter = gcm(block)?;
    if parameter.buffer.is_some() {
        return Err(wrong("pIv must be null: the IV stands before the ciphertext"));
    }
    Ok(Parameter::Gcm(parameter))
}

/// The hash of a mechanism and the mask generation function that goes with it.
fn hash_and_mgf(hash: usize, mgf: usize) -> Result<HashFunction, Failure> {
    match (hash as CK_ULONG, mgf as CK_ULONG) {
        (CKM_SHA_1, CKG_MGF1_SHA1) => Ok(HashFunction::Sha1),
        (CKM_SHA224, CKG_MGF1_SHA224) => Ok(HashFunction::Sha224),
        (CKM_SHA256, CKG_MGF1_SHA256) => Ok(HashFunction::Sha256),
        (CKM_SHA384, CKG_MGF1_SHA384) => Ok(HashFunction::Sha384),
        (CKM_SHA512, CKG_MGF1_SHA512) => Ok(HashFunction::Sha512),
        _ => Err(wrong("hashAlg and mgf must be SHA-1, SHA-224, SHA-256, SHA-384 or SHA-512, and the same one")),
    }
}

fn pss(block: &Block<'_, impl Memory>, of: Option<HashFunction>) -> Result<Parameter, Failure> {
    let [hash, mgf, salt_len] = block.words()?;
    let hash = hash_and_mgf(hash, mgf)?;
    if of.is_some_and(|of| of != hash) {
        return Err(wrong("hashAlg is not the mechanism's"));
    }
    match u16::try_from(salt_len) {
        Ok(salt_len) if usize::from(salt_len) <= SALT_LEN_MAX => Ok(Parameter::Pss { hash, salt_len }),
        _ => Err(wrong("sLen is longer than any modulus has room for")),
    }
}

fn oaep(block: &Block<'_, impl Memory>) -> Result<Parameter, Failure> {
    let [hash, mgf, source, _, source_len] = block.words()?;
    let hash = hash_and_mgf(hash, mgf)?;
    // Ordinary programs leave the source at zero.
    if source != 0 && source as CK_ULONG != CKZ_DATA_SPECIFIED || source_len != 0 {
        return Err(wrong("source data, the label of OAEP, are not supported"));
    }
    Ok(Parameter::Oaep { hash })
}

fn rsa_aes(block: &Block<'_, impl Memory>) -> Result<Parameter, Failure> {
    let [aes_bits, within] = block.words()?;
    if aes_bits != 256 {
        return Err(wrong("ulAESKeyBits must be 256"));
    }
    oaep(&block.to(within, size_of::<CK_RSA_PKCS_OAEP_PARAMS>()))
}

fn eddsa(block: &Block<'_, impl Memory>) -> Result<Parameter, Failure> {
    if block.is_absent() {
        return Ok(Parameter::None);
    }
    let [first, context_len, _] = block.words()?;
    // `phFlag` is a byte, what follows it in its word is nobody's.
    let [is_ph, ..] = first.to_ne_bytes();
    if is_ph == CK_FALSE || context_len != 0 {
        return Err(wrong("phFlag must be true and the context empty; Ed25519 itself has no parameter"));
    }
    Ok(Parameter::Ed25519Ph)
}

fn key_wrap(block: &Block<'_, impl Memory>) -> Result<Parameter, Failure> {
    if block.is_absent() || block.bytes()? == KEY_WRAP_IV {
        return Ok(Parameter::None);
    }
    Err(wrong("the IV must be null or A6A6A6A6A6A6A6A6"))
}

#[cfg(test)]
mod tests;
