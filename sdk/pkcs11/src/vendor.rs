//! CloudHSM's own numbers (`cloudhsm_pkcs11_vendor_defs.h`).
//!
//! Those of AES key wrap, GCM and the counter KDF are the original's. The others stand in a header that only the original
//! ships; they are chosen here and in our header, and nowhere else (`docs/reference/choices.md`).

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_EC_KDF_TYPE, CK_KEY_TYPE, CK_MECHANISM_TYPE, CK_ULONG, CKA_VENDOR_DEFINED,
    CKK_VENDOR_DEFINED, CKM_VENDOR_DEFINED,
};

/// SP 800-108 in counter mode; also `CKM_SP800_108_COUNTER_KDF`, which in PKCS #11 3.0 is another number.
pub(crate) const CKM_CLOUDHSM_SP800_108_COUNTER_KDF: CK_MECHANISM_TYPE = CKM_VENDOR_DEFINED | 0x0001;
/// AES-GCM whose IV comes before the ciphertext.
pub(crate) const CKM_CLOUDHSM_AES_GCM: CK_MECHANISM_TYPE = CKM_VENDOR_DEFINED | 0x1087;
/// RFC 3394.
pub(crate) const CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD: CK_MECHANISM_TYPE = CKM_VENDOR_DEFINED | 0x2109;
/// RFC 3394 over PKCS #5 padding.
pub(crate) const CKM_CLOUDHSM_AES_KEY_WRAP_PKCS5_PAD: CK_MECHANISM_TYPE = CKM_VENDOR_DEFINED | 0x210A;
/// RFC 5649.
pub(crate) const CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD: CK_MECHANISM_TYPE = CKM_VENDOR_DEFINED | 0x216F;

/// Ed25519 and Ed25519ph. Chosen: the vendor bit on `CKM_EDDSA` of PKCS #11 3.0.
pub(crate) const CKM_CLOUDHSM_EDDSA: CK_MECHANISM_TYPE = CKM_VENDOR_DEFINED | 0x1057;
/// Chosen: the vendor bit on `CKM_ML_DSA_KEY_PAIR_GEN` of PKCS #11 3.2.
pub(crate) const CKM_CLOUDHSM_ML_DSA_KEY_PAIR_GEN: CK_MECHANISM_TYPE = CKM_VENDOR_DEFINED | 0x001C;
/// Chosen: the vendor bit on `CKM_ML_DSA` of PKCS #11 3.2.
pub(crate) const CKM_CLOUDHSM_ML_DSA: CK_MECHANISM_TYPE = CKM_VENDOR_DEFINED | 0x001D;
/// ML-DSA of a message representative μ. Chosen: the number after `CKM_CLOUDHSM_ML_DSA`.
pub(crate) const CKM_CLOUDHSM_EXT_MU_ML_DSA: CK_MECHANISM_TYPE = CKM_VENDOR_DEFINED | 0x001E;

/// The vendor bit of key derivation functions, for which the standard has none.
const CKD_VENDOR_DEFINED: CK_EC_KDF_TYPE = 0x8000_0000;
/// X9.63 with SHA-1. Chosen, as the following: the vendor bit on the `CKD_SHA*_KDF` of PKCS #11 2.40 and 3.0.
pub(crate) const CKD_CLOUDHSM_X963_SHA1_KDF: CK_EC_KDF_TYPE = CKD_VENDOR_DEFINED | 0x02;
/// X9.63 with SHA-224.
pub(crate) const CKD_CLOUDHSM_X963_SHA224_KDF: CK_EC_KDF_TYPE = CKD_VENDOR_DEFINED | 0x05;
/// X9.63 with SHA-256.
pub(crate) const CKD_CLOUDHSM_X963_SHA256_KDF: CK_EC_KDF_TYPE = CKD_VENDOR_DEFINED | 0x06;
/// X9.63 with SHA-384.
pub(crate) const CKD_CLOUDHSM_X963_SHA384_KDF: CK_EC_KDF_TYPE = CKD_VENDOR_DEFINED | 0x07;
/// X9.63 with SHA-512.
pub(crate) const CKD_CLOUDHSM_X963_SHA512_KDF: CK_EC_KDF_TYPE = CKD_VENDOR_DEFINED | 0x08;

/// Keys of ML-DSA. Chosen: the vendor bit on `CKK_ML_DSA` of PKCS #11 3.2.
pub(crate) const CKK_CLOUDHSM_ML_DSA: CK_KEY_TYPE = CKK_VENDOR_DEFINED | 0x004A;
/// The parameter set of an ML-DSA key. Chosen: the vendor bit on `CKA_PARAMETER_SET` of PKCS #11 3.2.
pub(crate) const CKA_CLOUDHSM_PARAMETER_SET: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x061D;
/// A value of [`CKA_CLOUDHSM_PARAMETER_SET`], chosen as those of PKCS #11 3.2.
pub(crate) const CKP_CLOUDHSM_ML_DSA_44: CK_ULONG = 1;
/// Another one.
pub(crate) const CKP_CLOUDHSM_ML_DSA_65: CK_ULONG = 2;
/// Another one.
pub(crate) const CKP_CLOUDHSM_ML_DSA_87: CK_ULONG = 3;

/// Data of the counter KDF, in the order of parameters: the counter.
pub(crate) const CK_SP800_108_ITERATION_VARIABLE: CK_ULONG = 1;
/// The length of what is derived. Not the number of PKCS #11 3.0, as the next.
pub(crate) const CK_SP800_108_DKM_LENGTH: CK_ULONG = 2;
/// Bytes as they are.
pub(crate) const CK_SP800_108_BYTE_ARRAY: CK_ULONG = 3;
/// The same in the older numbering, of a fixed order: the counter.
pub(crate) const SP800_108_COUNTER_FORMAT: CK_ULONG = 4;
/// The label.
pub(crate) const SP800_108_PRF_LABEL: CK_ULONG = 5;
/// The context.
pub(crate) const SP800_108_PRF_CONTEXT: CK_ULONG = 6;
/// The length of what is derived.
pub(crate) const SP800_108_DKM_FORMAT: CK_ULONG = 7;
/// Bytes as they are.
pub(crate) const SP800_108_BYTE_ARRAY: CK_ULONG = 8;
/// The length is that of the keys.
pub(crate) const SP800_108_DKM_LENGTH_SUM_OF_KEYS: CK_ULONG = 1;
