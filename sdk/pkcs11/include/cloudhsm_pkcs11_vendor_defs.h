/* CloudHSM's own mechanisms, attributes and parameters.
 *
 * Names are the original's. Its numbers are known for the counter KDF, AES-GCM and AES key wrap; the others are chosen (see
 * docs/reference/choices.md): compile a program with this header to use them.
 */
#ifndef CLOUDHSM_PKCS11_VENDOR_DEFS_H
#define CLOUDHSM_PKCS11_VENDOR_DEFS_H

#include "pkcs11t.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Derives AES, triple DES and generic secret keys by SP 800-108 in counter mode. The first name is the older one; it is not the
 * mechanism that PKCS #11 3.0 calls so. */
#define CKM_SP800_108_COUNTER_KDF (CKM_VENDOR_DEFINED | 0x00000001UL)
#define CKM_CLOUDHSM_SP800_108_COUNTER_KDF CKM_SP800_108_COUNTER_KDF

/* AES-GCM whose IV the HSM makes and puts before the ciphertext. */
#define CKM_CLOUDHSM_AES_GCM (CKM_VENDOR_DEFINED | CKM_AES_GCM)

/* Key wrap with AES: RFC 3394 alone, RFC 3394 over PKCS #5 padding, RFC 5649. */
#define CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD (CKM_VENDOR_DEFINED | CKM_AES_KEY_WRAP)
#define CKM_CLOUDHSM_AES_KEY_WRAP_PKCS5_PAD (CKM_VENDOR_DEFINED | CKM_AES_KEY_WRAP_PAD)
#define CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD (CKM_VENDOR_DEFINED | 0x0000216FUL)

/* Ed25519 without parameters, Ed25519ph with CK_EDDSA_PARAMS. */
#define CKM_CLOUDHSM_EDDSA (CKM_VENDOR_DEFINED | 0x00001057UL)

/* ML-DSA (FIPS 204): pairs, signatures of messages, signatures of a message representative mu of 64 bytes. */
#define CKM_CLOUDHSM_ML_DSA_KEY_PAIR_GEN (CKM_VENDOR_DEFINED | 0x0000001CUL)
#define CKM_CLOUDHSM_ML_DSA (CKM_VENDOR_DEFINED | 0x0000001DUL)
#define CKM_CLOUDHSM_EXT_MU_ML_DSA (CKM_VENDOR_DEFINED | 0x0000001EUL)
#define CKK_CLOUDHSM_ML_DSA (CKK_VENDOR_DEFINED | 0x0000004AUL)
#define CKA_CLOUDHSM_PARAMETER_SET (CKA_VENDOR_DEFINED | 0x0000061DUL)
typedef CK_ULONG CK_CLOUDHSM_ML_DSA_PARAMETER_SET_TYPE;
#define CKP_CLOUDHSM_ML_DSA_44 0x00000001UL
#define CKP_CLOUDHSM_ML_DSA_65 0x00000002UL
#define CKP_CLOUDHSM_ML_DSA_87 0x00000003UL

/* Key derivation functions of CKM_ECDH1_DERIVE that run in the HSM: X9.63 with each hash function. */
#define CKD_CLOUDHSM_X963_SHA1_KDF 0x80000002UL
#define CKD_CLOUDHSM_X963_SHA224_KDF 0x80000005UL
#define CKD_CLOUDHSM_X963_SHA256_KDF 0x80000006UL
#define CKD_CLOUDHSM_X963_SHA384_KDF 0x80000007UL
#define CKD_CLOUDHSM_X963_SHA512_KDF 0x80000008UL

/* Data of the counter KDF, put one after the other in the order of the parameters. The numbers are not those of PKCS #11 3.0. */
#define CK_SP800_108_ITERATION_VARIABLE 0x00000001UL
#define CK_SP800_108_DKM_LENGTH 0x00000002UL
#define CK_SP800_108_BYTE_ARRAY 0x00000003UL

/* The older kinds of data: counter, label, a zero byte, context and length in this order, whatever that of the parameters. */
#define SP800_108_COUNTER_FORMAT 0x00000004UL
#define SP800_108_PRF_LABEL 0x00000005UL
#define SP800_108_PRF_CONTEXT 0x00000006UL
#define SP800_108_DKM_FORMAT 0x00000007UL
#define SP800_108_BYTE_ARRAY 0x00000008UL

/* What the length that goes in is a length of. The HSMs know the first. */
#define SP800_108_DKM_LENGTH_SUM_OF_KEYS 0x00000001UL
#define SP800_108_DKM_LENGTH_SUM_OF_SEGMENTS 0x00000002UL

/* The counter: 16 or 32 bits. */
typedef struct CK_SP800_108_COUNTER_FORMAT {
    CK_ULONG ulWidthInBits;
} CK_SP800_108_COUNTER_FORMAT;
typedef CK_SP800_108_COUNTER_FORMAT CK_PTR CK_SP800_108_COUNTER_FORMAT_PTR;

/* The length: 8, 16, 32 or 64 bits. */
typedef struct CK_SP800_108_DKM_LENGTH_FORMAT {
    CK_ULONG dkmLengthMethod;
    CK_ULONG ulWidthInBits;
} CK_SP800_108_DKM_LENGTH_FORMAT;
typedef CK_SP800_108_DKM_LENGTH_FORMAT CK_PTR CK_SP800_108_DKM_LENGTH_FORMAT_PTR;

/* One piece of data. */
typedef struct CK_PRF_DATA_PARAM {
    CK_ULONG type;
    CK_VOID_PTR pValue;
    CK_ULONG ulValueLen;
} CK_PRF_DATA_PARAM;
typedef CK_PRF_DATA_PARAM CK_PTR CK_PRF_DATA_PARAM_PTR;

/* Parameters of the counter KDF; prftype is CKM_SHA_1_HMAC to CKM_SHA512_HMAC, or CKM_AES_CMAC. */
typedef struct CK_SP800_108_KDF_PARAMS {
    CK_MECHANISM_TYPE prftype;
    CK_ULONG ulNumberOfDataParams;
    CK_PRF_DATA_PARAM_PTR pDataParams;
} CK_SP800_108_KDF_PARAMS;
typedef CK_SP800_108_KDF_PARAMS CK_PTR CK_SP800_108_KDF_PARAMS_PTR;

#ifdef __cplusplus
}
#endif

#endif
