use cryptoki_sys::*;

use super::*;
use crate::entry::IvBuffer;
use crate::mechanism::flat::{BASE, Flat};
use crate::vendor::*;
// Not those of PKCS #11 3.0, which have the same names.
use crate::vendor::{CK_SP800_108_BYTE_ARRAY, CK_SP800_108_DKM_LENGTH, CK_SP800_108_ITERATION_VARIABLE};

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
    for number in [CKM_RSA_PKCS, CKM_SHA256_RSA_PKCS, CKM_ECDSA, CKM_AES_ECB, CKM_SHA256, CKM_AES_KEY_GEN] {
        assert_eq!(memory.read(number, NONE), Ok(Parameter::None));
        assert_eq!(memory.read(number, (some.0, 0)), Ok(Parameter::None));
        assert_eq!(memory.read(number, some), INVALID);
    }
    for unknown in [CKM_MD5, CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD, 0xffff_ffff, CK_ULONG::MAX] {
        assert_eq!(memory.read(unknown, NONE), Err(CKR_MECHANISM_INVALID));
    }
}

#[test]
fn initialisation_vectors_are_one_block() {
    let mut memory = Flat::default();
    let at = memory.put(&[7; 32]);
    for len in 0..32 {
        let aes = memory.read(CKM_AES_CBC_PAD, (at, len));
        assert_eq!(aes, if len == 16 { Ok(Parameter::AesIv([7; 16])) } else { INVALID }, "{len}");
        let des = memory.read(CKM_DES3_CBC, (at, len));
        assert_eq!(des, if len == 8 { Ok(Parameter::Des3Iv([7; 8])) } else { INVALID }, "{len}");
    }
    assert_eq!(memory.read(CKM_AES_CBC, (0, 16)), INVALID);
    assert_eq!(memory.read(CKM_AES_CBC, (at, CK_ULONG::MAX)), INVALID);
}

#[test]
fn counters_have_1_to_128_bits() {
    for bits in [0, 1, 32, 128, 129, usize::MAX] {
        let mut memory = Flat::default();
        let block: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let (at, _) = memory.words(&[bits]);
        memory.put(&block);
        let expected = match u32::try_from(bits) {
            Ok(bits @ 1..=128) => Ok(Parameter::Ctr { bits, block }),
            _ => INVALID,
        };
        assert_eq!(memory.read(CKM_AES_CTR, (at, 24)), expected);
        for len in [0, 16, 17, 23] {
            assert_eq!(memory.read(CKM_AES_CTR, (at, len)), INVALID);
        }
    }
}

#[test]
fn gcm_parameters_have_six_fields_and_bounded_parts() {
    let check = |number, fields: &dyn Fn(usize, usize) -> [usize; 6], iv_len: Option<usize>| {
        let mut memory = Flat::default();
        let (iv, aad) = (memory.put(&[7; GCM_IV_BUFFER_LEN_MAX + 1]), memory.put(&vec![8; DATA_LEN_MAX + 1]));
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
    check(CKM_AES_GCM, &|iv, _| [iv, GCM_IV_BUFFER_LEN_MAX, 0, 0, 0, 64], Some(GCM_IV_BUFFER_LEN_MAX));
    check(CKM_AES_GCM, &|_, _| [0, 0, 0, 0, 0, 120], Some(0));
    check(CKM_AES_GCM, &|iv, _| [iv, GCM_IV_BUFFER_LEN_MAX + 1, 0, 0, 0, 128], None);
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
    for (salt_len, fits) in [(0, true), (SALT_LEN_MAX, true), (SALT_LEN_MAX + 1, false), (70_000, false)] {
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

#[test]
fn agreements_name_a_kdf_and_a_point() {
    let mut memory = Flat::default();
    let (shared, point) = (memory.put(b"info"), memory.put(&[4; POINT_LEN_MAX + 1]));
    let mut check = |kdf: CK_ULONG, shared_len: usize, point_len: usize, expected: Option<EcdhKdf>| {
        let parameter = memory.words(&[word(kdf), shared_len, shared, point_len, point]);
        let expected = expected
            .map_or(INVALID, |kdf| Ok(Parameter::Derive(Derivation::Ecdh { peer_point: vec![4; point_len], kdf })));
        assert_eq!(memory.read(CKM_ECDH1_DERIVE, parameter), expected);
    };
    let x963 = |hash, shared: &[u8]| Some(EcdhKdf::X963 { hash, shared_info: shared.to_vec() });
    check(CKD_CLOUDHSM_X963_SHA1_KDF, 0, 65, x963(HashFunction::Sha1, b""));
    check(CKD_CLOUDHSM_X963_SHA224_KDF, 4, 65, x963(HashFunction::Sha224, b"info"));
    check(CKD_CLOUDHSM_X963_SHA256_KDF, 4, 65, x963(HashFunction::Sha256, b"info"));
    check(CKD_CLOUDHSM_X963_SHA384_KDF, 4, 65, x963(HashFunction::Sha384, b"info"));
    check(CKD_CLOUDHSM_X963_SHA512_KDF, 4, 65, x963(HashFunction::Sha512, b"info"));
    check(CKD_SHA256_KDF, 4, 65, x963(HashFunction::Sha256, b"info"));
    check(CKD_NULL, 0, 65, Some(EcdhKdf::None));
    check(CKD_NULL, 4, 65, None);
    check(CKD_CLOUDHSM_X963_SHA256_KDF, 0, 0, None);
    check(CKD_CLOUDHSM_X963_SHA256_KDF, DATA_LEN_MAX + 1, 65, None);
    check(CKD_CLOUDHSM_X963_SHA256_KDF, 0, POINT_LEN_MAX, x963(HashFunction::Sha256, b""));
    check(CKD_CLOUDHSM_X963_SHA256_KDF, 0, POINT_LEN_MAX + 1, None);
    check(CKD_CPDIVERSIFY_KDF, 0, 65, None);
}

/// A data parameter of the counter KDF: its type and its value.
type Data = (CK_ULONG, Vec<u8>);

fn format(kind: CK_ULONG, words: &[usize]) -> Data {
    (kind, words.iter().flat_map(|word| word.to_ne_bytes()).collect())
}

fn counter_kdf_of(prf: CK_ULONG, data: &[Data]) -> Result<Parameter, CK_RV> {
    let mut memory = Flat::default();
    let fields: Vec<usize> =
        data.iter().flat_map(|(kind, value)| [word(*kind), memory.put(value), value.len()]).collect();
    let (list, _) = memory.words(&fields);
    let parameter = memory.words(&[word(prf), data.len(), list]);
    memory.read(CKM_CLOUDHSM_SP800_108_COUNTER_KDF, parameter)
}

fn fields(expected: Vec<KdfField>) -> Result<Parameter, CK_RV> {
    Ok(Parameter::Derive(Derivation::CounterKdf { prf: Prf::Hmac(HashFunction::Sha256), fields: expected }))
}

#[test]
fn the_newer_data_types_stand_in_the_order_of_parameters() {
    let bytes = |bytes: &[u8]| (CK_SP800_108_BYTE_ARRAY, bytes.to_vec());
    let counter = |bits| format(CK_SP800_108_ITERATION_VARIABLE, &[bits]);
    let length = |bits| format(CK_SP800_108_DKM_LENGTH, &[word(SP800_108_DKM_LENGTH_SUM_OF_KEYS), bits]);
    let check = |data: &[Data], expected| assert_eq!(counter_kdf_of(CKM_SHA256_HMAC, data), expected);
    check(
        &[bytes(b"prefix"), counter(32), bytes(b""), bytes(b"suffix"), length(64)],
        fields(vec![
            KdfField::Bytes(b"prefix".to_vec()),
            KdfField::Counter { bits: 32 },
            KdfField::Bytes(Vec::new()),
            KdfField::Bytes(b"suffix".to_vec()),
            KdfField::Length { bits: 64 },
        ]),
    );
    check(&[counter(16)], fields(vec![KdfField::Counter { bits: 16 }]));
    for bits in [0, 8, 24, 64, 272] {
        check(&[counter(bits)], INVALID);
    }
    for bits in [8, 16, 32, 64] {
        check(
            &[counter(16), length(bits)],
            fields(vec![KdfField::Counter { bits: 16 }, KdfField::Length { bits: u8::try_from(bits).unwrap() }]),
        );
    }
    check(&[counter(16), length(24)], INVALID);
    check(&[counter(16), format(CK_SP800_108_DKM_LENGTH, &[2, 32])], INVALID);
    check(&[counter(16), format(CK_SP800_108_DKM_LENGTH, &[1])], INVALID);
    check(&[(9, Vec::new())], INVALID);
    check(&[], INVALID);
    check(&vec![bytes(b"1"); KDF_FIELDS_MAX + 1], INVALID);
    check(&[bytes(&vec![1; DATA_LEN_MAX + 1])], INVALID);
    assert_eq!(counter_kdf_of(CKM_SHA256, &[counter(16)]), INVALID);
    assert!(counter_kdf_of(CKM_AES_CMAC, &[counter(16)]).is_ok());
}

#[test]
fn the_older_data_types_have_one_order() {
    let counter = format(SP800_108_COUNTER_FORMAT, &[32]);
    let length = format(SP800_108_DKM_FORMAT, &[1, 32]);
    let label = (SP800_108_PRF_LABEL, b"label".to_vec());
    let context = (SP800_108_PRF_CONTEXT, b"context".to_vec());
    let expected = |label: &[u8], context: &[u8]| {
        fields(vec![
            KdfField::Counter { bits: 32 },
            KdfField::Bytes(label.to_vec()),
            KdfField::Bytes(vec![0]),
            KdfField::Bytes(context.to_vec()),
            KdfField::Length { bits: 32 },
        ])
    };
    let check = |data: &[&Data], expected| {
        let data: Vec<Data> = data.iter().map(|data| (*data).clone()).collect();
        assert_eq!(counter_kdf_of(CKM_SHA256_HMAC, &data), expected);
    };
    check(&[&counter, &length, &label, &context], expected(b"label", b"context"));
    check(&[&context, &label, &length, &counter], expected(b"label", b"context"));
    check(&[&counter, &length], expected(b"", b""));
    check(&[&counter, &length, &label], expected(b"label", b""));
    check(&[&counter, &label], INVALID);
    check(&[&length, &label], INVALID);
    check(&[&counter, &length, &label, &label], INVALID);
    check(&[&counter, &length, &(SP800_108_BYTE_ARRAY, b"x".to_vec())], INVALID);
    check(&[&counter, &length, &(CK_SP800_108_BYTE_ARRAY, b"x".to_vec())], INVALID);
}
