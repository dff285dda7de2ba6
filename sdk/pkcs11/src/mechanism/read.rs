//! Reading of a caller's parameter.
//!
//! Structures are read as the words that they are made of: on the platforms that there are, each of their fields lies in
//! words of its own. What is wrong with a parameter is `CKR_MECHANISM_PARAM_INVALID`, whatever it is.

use std::mem::size_of;

use cryptoki_sys::{
    CK_AES_CTR_PARAMS, CK_ECDH1_DERIVE_PARAMS, CK_EDDSA_PARAMS, CK_FALSE, CK_GCM_PARAMS, CK_MECHANISM_TYPE,
    CK_PRF_DATA_PARAM, CK_RSA_AES_KEY_WRAP_PARAMS, CK_RSA_PKCS_OAEP_PARAMS, CK_RSA_PKCS_PSS_PARAMS, CK_ULONG, CKD_NULL,
    CKD_SHA1_KDF, CKD_SHA224_KDF, CKD_SHA256_KDF, CKD_SHA384_KDF, CKD_SHA512_KDF, CKG_MGF1_SHA1, CKG_MGF1_SHA224,
    CKG_MGF1_SHA256, CKG_MGF1_SHA384, CKG_MGF1_SHA512, CKM_AES_CMAC, CKM_SHA_1, CKM_SHA_1_HMAC, CKM_SHA224,
    CKM_SHA224_HMAC, CKM_SHA256, CKM_SHA256_HMAC, CKM_SHA384, CKM_SHA384_HMAC, CKM_SHA512, CKM_SHA512_HMAC,
    CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKZ_DATA_SPECIFIED,
};
use strongroom_types::limits::{DATA_LEN_MAX, GCM_IV_BUFFER_LEN_MAX, KDF_FIELDS_MAX, RSA_BITS_MAX};
use strongroom_types::{AES_BLOCK_LEN, Derivation, EcdhKdf, GcmTag, HashFunction, KdfField, Prf};

use super::table::{Form, row};
use super::{GcmParameter, Mechanism, Memory, Parameter};
use crate::failure::Failure;
use crate::vendor::{
    CK_SP800_108_BYTE_ARRAY, CK_SP800_108_DKM_LENGTH, CK_SP800_108_ITERATION_VARIABLE, CKD_CLOUDHSM_X963_SHA1_KDF,
    CKD_CLOUDHSM_X963_SHA224_KDF, CKD_CLOUDHSM_X963_SHA256_KDF, CKD_CLOUDHSM_X963_SHA384_KDF,
    CKD_CLOUDHSM_X963_SHA512_KDF, SP800_108_BYTE_ARRAY, SP800_108_COUNTER_FORMAT, SP800_108_DKM_FORMAT,
    SP800_108_DKM_LENGTH_SUM_OF_KEYS, SP800_108_PRF_CONTEXT, SP800_108_PRF_LABEL,
};

/// Bytes of a salt of RSA-PSS: as many as the longest modulus has.
const SALT_LEN_MAX: usize = RSA_BITS_MAX as usize / 8;
/// Bytes of another side's public point that are copied. No point has as many; the HSM says which of these is one.
const POINT_LEN_MAX: usize = 1024;
/// Bytes of the longest structure.
const STRUCTURE_LEN_MAX: usize = size_of::<CK_GCM_PARAMS>();
/// The one initialisation vector of AES key wrap (RFC 3394 §2.2.3.1).
const KEY_WRAP_IV: [u8; 8] = [0xa6; 8];

const fn words_of<T>() -> usize {
    size_of::<T>() / size_of::<CK_ULONG>()
}

const _: () = {
    assert!(size_of::<CK_ULONG>() == size_of::<usize>(), "a word is an address");
    assert!(words_of::<CK_AES_CTR_PARAMS>() == 3);
    assert!(words_of::<CK_ECDH1_DERIVE_PARAMS>() == 5);
    assert!(words_of::<CK_EDDSA_PARAMS>() == 3);
    assert!(words_of::<CK_GCM_PARAMS>() == 6);
    assert!(words_of::<CK_PRF_DATA_PARAM>() == 3);
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
        Form::AesIv => block.bytes().map(Parameter::AesIv),
        Form::Des3Iv => block.bytes().map(Parameter::Des3Iv),
        Form::Ctr => ctr(&block),
        Form::Gcm => gcm(&block).map(Parameter::Gcm),
        Form::CloudhsmGcm => cloudhsm_gcm(&block),
        Form::Pss(hash) => pss(&block, hash),
        Form::Oaep => oaep(&block),
        Form::RsaAes => rsa_aes(&block),
        Form::Eddsa => eddsa(&block),
        Form::KeyWrap => key_wrap(&block),
        Form::Ecdh => ecdh(&block),
        Form::CounterKdf => counter_kdf(&block),
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

fn ctr(block: &Block<'_, impl Memory>) -> Result<Parameter, Failure> {
    let [bits, first, second] = block.words()?;
    match u32::try_from(bits) {
        Ok(bits @ 1..=128) => {
            let mut block = [0; AES_BLOCK_LEN];
            for (into, from) in block.chunks_exact_mut(size_of::<usize>()).zip([first, second]) {
                into.copy_from_slice(&from.to_ne_bytes());
            }
            Ok(Parameter::Ctr { bits, block })
        }
        _ => Err(wrong("ulCounterBits is not 1 to 128")),
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
        (block.to(iv, iv_len).up_to(GCM_IV_BUFFER_LEN_MAX)?, Some(block.memory.buffer(iv, iv_len)))
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

fn ecdh(block: &Block<'_, impl Memory>) -> Result<Parameter, Failure> {
    let [kdf, shared_len, shared, point_len, point] = block.words()?;
    let shared_info = block.to(shared, shared_len).up_to(DATA_LEN_MAX)?;
    let peer_point = block.to(point, point_len).up_to(POINT_LEN_MAX)?;
    if peer_point.is_empty() {
        return Err(wrong("pPublicData is empty"));
    }
    let x963 = |hash| EcdhKdf::X963 { hash, shared_info: shared_info.clone() };
    let kdf = match kdf as CK_ULONG {
        CKD_NULL if shared_info.is_empty() => EcdhKdf::None,
        CKD_CLOUDHSM_X963_SHA1_KDF | CKD_SHA1_KDF => x963(HashFunction::Sha1),
        CKD_CLOUDHSM_X963_SHA224_KDF | CKD_SHA224_KDF => x963(HashFunction::Sha224),
        CKD_CLOUDHSM_X963_SHA256_KDF | CKD_SHA256_KDF => x963(HashFunction::Sha256),
        CKD_CLOUDHSM_X963_SHA384_KDF | CKD_SHA384_KDF => x963(HashFunction::Sha384),
        CKD_CLOUDHSM_X963_SHA512_KDF | CKD_SHA512_KDF => x963(HashFunction::Sha512),
        _ => return Err(wrong("the kdf is not supported, or takes no shared data")),
    };
    Ok(Parameter::Derive(Derivation::Ecdh { peer_point, kdf }))
}

fn counter_kdf(block: &Block<'_, impl Memory>) -> Result<Parameter, Failure> {
    let [prf, count, data] = block.words()?;
    let prf = match prf as CK_ULONG {
        CKM_AES_CMAC => Prf::AesCmac,
        CKM_SHA_1_HMAC => Prf::Hmac(HashFunction::Sha1),
        CKM_SHA224_HMAC => Prf::Hmac(HashFunction::Sha224),
        CKM_SHA256_HMAC => Prf::Hmac(HashFunction::Sha256),
        CKM_SHA384_HMAC => Prf::Hmac(HashFunction::Sha384),
        CKM_SHA512_HMAC => Prf::Hmac(HashFunction::Sha512),
        _ => return Err(wrong("prftype is not one of CKM_SHA*_HMAC and CKM_AES_CMAC")),
    };
    if count == 0 || count > KDF_FIELDS_MAX || data == 0 {
        return Err(wrong("there are no data parameters, or too many"));
    }
    let each = size_of::<CK_PRF_DATA_PARAM>();
    let mut kinds = Vec::with_capacity(count);
    for place in 0..count {
        let at = data.checked_add(place * each).ok_or(wrong("the data parameters are beyond all memory"))?;
        let [kind, value, len] = block.to(at, each).words()?;
        kinds.push((kind as CK_ULONG, field(&block.to(value, len), kind as CK_ULONG)?));
    }
    let fields = if kinds.iter().all(|(kind, _)| *kind <= CK_SP800_108_BYTE_ARRAY) {
        kinds.into_iter().map(|(_, field)| field).collect()
    } else {
        in_fixed_order(kinds)?
    };
    Ok(Parameter::Derive(Derivation::CounterKdf { prf, fields }))
}

/// One data parameter, of either numbering.
fn field(block: &Block<'_, impl Memory>, kind: CK_ULONG) -> Result<KdfField, Failure> {
    match kind {
        CK_SP800_108_ITERATION_VARIABLE | SP800_108_COUNTER_FORMAT => match block.words()? {
            [bits @ (16 | 32)] => Ok(KdfField::Counter { bits: width(bits) }),
            _ => Err(wrong("the counter has 16 or 32 bits")),
        },
        CK_SP800_108_DKM_LENGTH | SP800_108_DKM_FORMAT => {
            let [method, bits] = block.words()?;
            match (method as CK_ULONG, bits) {
                (SP800_108_DKM_LENGTH_SUM_OF_KEYS, 8 | 16 | 32 | 64) => Ok(KdfField::Length { bits: width(bits) }),
                _ => Err(wrong("the length is that of the sum of keys, in 8, 16, 32 or 64 bits")),
            }
        }
        CK_SP800_108_BYTE_ARRAY | SP800_108_PRF_LABEL | SP800_108_PRF_CONTEXT => {
            block.up_to(DATA_LEN_MAX).map(KdfField::Bytes)
        }
        SP800_108_BYTE_ARRAY => Err(wrong("bytes have no place in the fixed order of label and context")),
        _ => Err(wrong("a data parameter is of an unknown type")),
    }
}

fn width(bits: usize) -> u8 {
    u8::try_from(bits).unwrap_or_default()
}

/// The older numbering has one order, whatever that of the parameters: `counter || label || 0 || context || length`.
fn in_fixed_order(mut given: Vec<(CK_ULONG, KdfField)>) -> Result<Vec<KdfField>, Failure> {
    let mut take = |wanted: CK_ULONG| {
        let place = given.iter().position(|(kind, _)| *kind == wanted)?;
        Some(given.swap_remove(place).1)
    };
    let empty = || KdfField::Bytes(Vec::new());
    let counter = take(SP800_108_COUNTER_FORMAT).ok_or(wrong("the counter's format is missing"))?;
    let length = take(SP800_108_DKM_FORMAT).ok_or(wrong("the format of the length is missing"))?;
    let label = take(SP800_108_PRF_LABEL).unwrap_or_else(empty);
    let context = take(SP800_108_PRF_CONTEXT).unwrap_or_else(empty);
    if !given.is_empty() {
        return Err(wrong("a data parameter stands twice, or both numberings are mixed"));
    }
    Ok(vec![counter, label, KdfField::Bytes(vec![0]), context, length])
}

#[cfg(test)]
mod tests;
