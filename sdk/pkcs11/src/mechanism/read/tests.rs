use cryptoki_sys::*;
use strongroom_ffi::PointerError;

use super::*;
use crate::entry::IvBuffer;
use crate::vendor::*;

/// A memory of some bytes, at addresses from [`BASE`] on.
#[derive(Default)]
struct Flat(Vec<u8>);

const BASE: usize = 0x1000;

impl Memory for Flat {
    fn copy(&self, from: usize, into: &mut [u8]) -> Result<(), PointerError> {
        let start = from.checked_sub(BASE).ok_or(PointerError::Null)?;
        into.copy_from_slice(&self.0[start..start + into.len()]);
        Ok(())
    }

    fn buffer(&self, _: usize, len: usize) -> IvBuffer {
        IvBuffer::nowhere(len)
    }
}

impl Flat {
    /// Puts bytes into it; their address.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let at = BASE + self.0.len();
        self.0.extend(bytes);
        at
    }

    fn words(&mut self, words: &[usize]) -> (usize, CK_ULONG) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        (self.put(&bytes), bytes.len() as CK_ULONG)
    }

    fn read(&self, number: CK_MECHANISM_TYPE, (at, len): (usize, CK_ULONG)) -> Result<Parameter, CK_RV> {
        read(self, number, at, len).map(|made| made.parameter).map_err(|failure| failure.rv())
    }
}

const NONE: (usize, CK_ULONG) = (0, 0);
const INVALID: Result<Parameter, CK_RV> = Err(CKR_MECHANISM_PARAM_INVALID);

/// A number of the standard as a word of a structure.
fn word(number: CK_ULONG) -> usize {
    usize::try_from(number).unwrap()
}

#[test]
fn mechanisms_without_a_parameter_take_none() {
    let mut memory = Flat::default();
    let some = (memory.put(&[1; 16]), 16);
    for number in [CKM_RSA_PKCS, CKM_SHA256_RSA_PKCS, CKM_ECDSA, CKM_SHA256, CKM_AES_KEY_GEN] {
        assert_eq!(memory.read(number, NONE), Ok(Parameter::None));
        assert_eq!(memory.read(number, (some.0, 0)), Ok(Parameter::None));
        assert_eq!(memory.read(number, some), INVALID);
    }
    for unknown in [CKM_MD5, CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD, 0xffff_ffff, CK_ULONG::MAX] {
        assert_eq!(memory.read(unknown, NONE), Err(CKR_MECHANISM_INVALID));
    }
}

#[test]
fn gcm_parameters_have_six_fields_and_bounded_parts() {
    let check = |number, fields: &dyn Fn(usize, usize) -> [usize; 6], iv_len: Option<usize>| {
        let mut memory = Flat::default();
        let (iv, aad) = (memory.put(&[7; 300]), memory.put(&vec![8; DATA_LEN_MAX + 1]));
        let parameter = memory.words(&fields(iv, aad));
        let expected = match iv_len {
            None => INVALID,
            Some(len) => Ok(Parameter::Gcm(GcmParameter {
                iv: vec![7; len],
                buffer: (fields(iv, aad)[0] != 0).then(|| IvBuffer::nowhere(len)),
                aad: vec![8; fields(iv, aad)[4]],
                tag: GcmTag::of_bits(u32::try_from(fields(iv, aad)[5]).unwrap()).unwrap(),
            })),
        };
        assert_eq!(memory.read(number, parameter), expected);
        // The structure of five fields, without `ulIvBits`, and others.
        for len in [0, 8, 40, 47] {
            assert_eq!(memory.read(number, (parameter.0, len)), INVALID);
        }
    };
    check(CKM_AES_GCM, &|iv, aad| [iv, 12, 0, aad, 20, 128], Some(12));
    check(CKM_AES_GCM, &|iv, aad| [iv, 12, 96, aad, DATA_LEN_MAX, 96], Some(12));
    check(CKM_AES_GCM, &|iv, _| [iv, 256, 0, 0, 0, 64], Some(256));
    check(CKM_AES_GCM, &|_, _| [0, 0, 0, 0, 0, 120], Some(0));
    check(CKM_AES_GCM, &|iv, _| [iv, 257, 0, 0, 0, 128], None);
    check(CKM_AES_GCM, &|iv, aad| [iv, 12, 0, aad, DATA_LEN_MAX + 1, 128], None);
    check(CKM_AES_GCM, &|iv, _| [iv, 12, 0, 0, 1, 128], None);
    check(CKM_AES_GCM, &|iv, _| [iv, usize::MAX, 0, 0, 0, 128], None);
    for tag in [0, 16, 32, 127, 129, 1 << 40] {
        check(CKM_AES_GCM, &|iv, _| [iv, 12, 0, 0, 0, tag], None);
    }
    check(CKM_CLOUDHSM_AES_GCM, &|_, aad| [0, 0, 0, aad, 5, 128], Some(0));
    check(CKM_CLOUDHSM_AES_GCM, &|iv, _| [iv, 12, 0, 0, 0, 128], None);
}

#[test]
fn hashes_go_with_their_own_mask_generation_function() {
    let hashes = [
        (CKM_SHA_1, CKG_MGF1_SHA1, HashFunction::Sha1),
        (CKM_SHA224, CKG_MGF1_SHA224, HashFunction::Sha224),
        (CKM_SHA256, CKG_MGF1_SHA256, HashFunction::Sha256),
        (CKM_SHA384, CKG_MGF1_SHA384, HashFunction::Sha384),
        (CKM_SHA512, CKG_MGF1_SHA512, HashFunction::Sha512),
    ];
    for (number, _, hash) in hashes {
        for (other, mgf, _) in hashes {
            let mut memory = Flat::default();
            let pss = memory.words(&[word(number), word(mgf), 20]);
            let expected = if number == other { Ok(Parameter::Pss { hash, salt_len: 20 }) } else { INVALID };
            assert_eq!(memory.read(CKM_RSA_PKCS_PSS, pss), expected);
            let of_sha256 = if hash == HashFunction::Sha256 { expected } else { INVALID };
            assert_eq!(memory.read(CKM_SHA256_RSA_PKCS_PSS, pss), of_sha256);
            let oaep = memory.words(&[word(number), word(mgf), 0, 0, 0]);
            let expected = if number == other { Ok(Parameter::Oaep { hash }) } else { INVALID };
            assert_eq!(memory.read(CKM_RSA_PKCS_OAEP, oaep), expected);
            let wrap = memory.words(&[256, oaep.0]);
            assert_eq!(memory.read(CKM_RSA_AES_KEY_WRAP, wrap), expected);
        }
    }
    let mut memory = Flat::default();
    for (salt_len, fits) in [(0, true), (512, true), (513, false), (70_000, false)] {
        let pss = memory.words(&[word(CKM_SHA256), word(CKG_MGF1_SHA256), salt_len]);
        assert_eq!(memory.read(CKM_RSA_PKCS_PSS, pss).is_ok(), fits, "{salt_len}");
    }
    assert_eq!(memory.read(CKM_RSA_PKCS_PSS, NONE), INVALID);
}

#[test]
fn oaep_has_no_label() {
    let mut memory = Flat::default();
    let (hash, mgf) = (word(CKM_SHA256), word(CKG_MGF1_SHA256));
    let label = memory.put(b"label");
    for (source, at, len, fits) in [
        (0, 0, 0, true),
        (1, 0, 0, true),
        (1, label, 0, true),
        (1, label, 5, false),
        (0, label, 5, false),
        (2, 0, 0, false),
    ] {
        let oaep = memory.words(&[hash, mgf, source, at, len]);
        assert_eq!(memory.read(CKM_RSA_PKCS_OAEP, oaep).is_ok(), fits, "{source} {len}");
    }
    let oaep = memory.words(&[hash, mgf, 0, 0, 0]);
    for (bits, within) in [(128, oaep.0), (192, oaep.0), (0, oaep.0), (256, 0)] {
        let wrap = memory.words(&[bits, within]);
        assert_eq!(memory.read(CKM_RSA_AES_KEY_WRAP, wrap), INVALID);
    }
}

#[test]
fn eddsa_is_pure_or_prehashed_without_a_context() {
    let mut memory = Flat::default();
    let context = memory.put(b"context");
    for number in [CKM_CLOUDHSM_EDDSA, CKM_EDDSA] {
        assert_eq!(memory.read(number, NONE), Ok(Parameter::None));
        for (first, len, at, expected) in [
            (1, 0, 0, Ok(Parameter::Ed25519Ph)),
            // What lies behind the byte in its word is nobody's.
            (0xffff_ff01, 0, 0, Ok(Parameter::Ed25519Ph)),
            (0xffff_ff00, 0, 0, INVALID),
            (0, 0, 0, INVALID),
            (1, 7, context, INVALID),
        ] {
            let parameter = memory.words(&[usize::from_le(first), len, at]);
            assert_eq!(memory.read(number, parameter), expected);
        }
        let short = memory.words(&[1, 0]);
        assert_eq!(memory.read(number, short), INVALID);
    }
}

#[test]
fn key_wrapping_takes_one_iv_or_none() {
    let mut memory = Flat::default();
    let (right, wrong) = (memory.put(&[0xa6; 8]), memory.put(&[0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa7]));
    for number in [CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD, CKM_CLOUDHSM_AES_KEY_WRAP_PKCS5_PAD] {
        assert_eq!(memory.read(number, NONE), Ok(Parameter::None));
        assert_eq!(memory.read(number, (right, 8)), Ok(Parameter::None));
        assert_eq!(memory.read(number, (right, 7)), INVALID);
        assert_eq!(memory.read(number, (wrong, 8)), INVALID);
        assert_eq!(memory.read(number, (0, 8)), INVALID);
    }
    assert_eq!(memory.read(CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD, NONE), Ok(Parameter::None));
    assert_eq!(memory.read(CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD, (right, 8)), INVALID);
}
