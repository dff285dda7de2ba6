//! What does not stand, and cases that are decided otherwise than Wycheproof says, each with its reason.

use super::{Listed, NotStanding};

const KEY_SIZE: &str = "private keys have 2048 to 4096 bits in steps of 256";
const LABEL: &str = "the label of OAEP is always empty";
const CONTEXT: &str = "the context of ML-DSA is always empty";
const LOW_S: &str = "ECDSA takes s and its negative (FIPS 186-5 §6.4.2); that s is small is Bitcoin's rule";
const MASK: &str = "the mask is always made with the hash of the message or the label";

pub(super) static ECDH_NOT_STANDING: [NotStanding; 1] = [("brainpool", "the curve is none of CloudHSM's")];

pub(super) static ECDH: [Listed; 0] = [];

pub(super) static ECDSA_NOT_STANDING: [NotStanding; 6] = [
    ("brainpool", "the curve is none of CloudHSM's"),
    ("secp160", "the curve is none of CloudHSM's"),
    ("secp192", "the curve is none of CloudHSM's"),
    ("secp224k1", "the curve is none of CloudHSM's"),
    ("sha3_", "SHA-3 is not offered"),
    ("shake", "SHAKE is not offered"),
];

pub(super) static ECDSA: [Listed; 1] =
    [Listed { file: "ecdsa_secp256k1_sha256_bitcoin", cases: &[1..=1, 388..=388], reason: LOW_S }];

pub(super) static EDDSA_NOT_STANDING: [NotStanding; 1] = [("ed448", "the curve is none of CloudHSM's")];

pub(super) static ML_DSA_NOT_STANDING: [NotStanding; 1] =
    [("noseed", "private keys are kept as seeds, and come in no other form")];

pub(super) static ML_DSA_SIGN: [Listed; 3] = [
    Listed { file: "mldsa_44_sign_seed", cases: &[3..=4, 89..=89], reason: CONTEXT },
    Listed { file: "mldsa_65_sign_seed", cases: &[3..=4, 108..=108], reason: CONTEXT },
    Listed { file: "mldsa_87_sign_seed", cases: &[3..=4, 99..=99], reason: CONTEXT },
];

pub(super) static ML_DSA_VERIFY: [Listed; 3] = [
    Listed { file: "mldsa_44_verify", cases: &[3..=4], reason: CONTEXT },
    Listed { file: "mldsa_65_verify", cases: &[3..=4], reason: CONTEXT },
    Listed { file: "mldsa_87_verify", cases: &[3..=4], reason: CONTEXT },
];

pub(super) static PKCS1_NOT_STANDING: [NotStanding; 3] = [
    ("sha3_", "SHA-3 is not offered"),
    ("sha512_224", "SHA-512/224 is not offered"),
    ("sha512_256", "SHA-512/256 is not offered"),
];

pub(super) static PSS_NOT_STANDING: [NotStanding; 3] = [
    ("shake", "SHAKE is not offered"),
    ("sha512_224", "SHA-512/224 is not offered"),
    ("sha512_256", "SHA-512/256 is not offered"),
];

pub(super) static PSS: [Listed; 4] = [
    Listed { file: "rsa_pss_2048_sha256_mgf1sha1_20", cases: &[1..=61, 73..=74], reason: MASK },
    Listed { file: "rsa_pss_2048_sha512_mgf1sha256_32_params", cases: &[1..=130, 142..=143], reason: MASK },
    Listed { file: "rsa_pss_misc", cases: &[7..=36, 43..=72, 79..=108, 115..=144], reason: MASK },
    Listed { file: "rsa_pss_misc_params", cases: &[7..=36, 43..=72, 79..=108, 115..=144], reason: MASK },
];

pub(super) static OAEP_NOT_STANDING: [NotStanding; 2] =
    [("sha512_224", "SHA-512/224 is not offered"), ("sha512_256", "SHA-512/256 is not offered")];

pub(super) static OAEP: [Listed; 19] = [
    Listed { file: "rsa_oaep_2048_sha1_mgf1sha1", cases: &[8..=10, 33..=36], reason: LABEL },
    Listed { file: "rsa_oaep_2048_sha224_mgf1sha1", cases: &[1..=11, 21..=22], reason: MASK },
    Listed { file: "rsa_oaep_2048_sha224_mgf1sha224", cases: &[8..=10, 32..=35], reason: LABEL },
    Listed { file: "rsa_oaep_2048_sha256_mgf1sha1", cases: &[1..=11, 21..=22], reason: MASK },
    Listed { file: "rsa_oaep_2048_sha256_mgf1sha256", cases: &[8..=10, 33..=37], reason: LABEL },
    Listed { file: "rsa_oaep_2048_sha384_mgf1sha1", cases: &[1..=11, 21..=22], reason: MASK },
    Listed { file: "rsa_oaep_2048_sha384_mgf1sha384", cases: &[8..=10, 32..=34], reason: LABEL },
    Listed { file: "rsa_oaep_2048_sha512_mgf1sha1", cases: &[1..=11, 21..=22], reason: MASK },
    Listed { file: "rsa_oaep_2048_sha512_mgf1sha512", cases: &[8..=10, 33..=33], reason: LABEL },
    Listed { file: "rsa_oaep_3072_sha256_mgf1sha1", cases: &[1..=11, 21..=22], reason: MASK },
    Listed { file: "rsa_oaep_3072_sha256_mgf1sha256", cases: &[8..=10, 33..=37], reason: LABEL },
    Listed { file: "rsa_oaep_3072_sha512_mgf1sha1", cases: &[1..=11, 21..=22], reason: MASK },
    Listed { file: "rsa_oaep_3072_sha512_mgf1sha512", cases: &[8..=10, 32..=33], reason: LABEL },
    Listed { file: "rsa_oaep_4096_sha256_mgf1sha1", cases: &[1..=11, 21..=22], reason: MASK },
    Listed { file: "rsa_oaep_4096_sha256_mgf1sha256", cases: &[8..=10, 33..=37], reason: LABEL },
    Listed { file: "rsa_oaep_4096_sha512_mgf1sha1", cases: &[1..=11, 21..=22], reason: MASK },
    Listed { file: "rsa_oaep_4096_sha512_mgf1sha512", cases: &[8..=10, 33..=36], reason: LABEL },
    Listed {
        file: "rsa_oaep_misc",
        cases: &[1..=120, 337..=339, 355..=357, 373..=375, 377..=384, 386..=391, 393..=395],
        reason: KEY_SIZE,
    },
    Listed {
        file: "rsa_oaep_misc",
        cases: &[
            124..=138,
            142..=156,
            160..=174,
            178..=192,
            199..=216,
            220..=234,
            238..=252,
            259..=276,
            280..=294,
            298..=312,
            316..=318,
            322..=336,
            340..=354,
            358..=372,
        ],
        reason: MASK,
    },
];

pub(super) static KEYWRAP_NOT_STANDING: [NotStanding; 3] =
    [("aria", "ARIA is not offered"), ("camellia", "Camellia is not offered"), ("seed", "SEED is not offered")];

pub(super) static KEYWRAP: [Listed; 0] = [];

pub(super) static CIPHER_NOT_STANDING: [NotStanding; 3] =
    [("aria", "ARIA is not offered"), ("camellia", "Camellia is not offered"), ("xts", "XTS is not offered")];

pub(super) static MAC_NOT_STANDING: [NotStanding; 9] = [
    ("aria", "ARIA is not offered"),
    ("camellia", "Camellia is not offered"),
    ("kmac", "KMAC is not offered"),
    ("sha3_", "SHA-3 is not offered"),
    ("sha512_224", "SHA-512/224 is not offered"),
    ("sha512_256", "SHA-512/256 is not offered"),
    ("siphash_", "SipHash is not offered"),
    ("siphashx", "SipHash is not offered"),
    ("sm3", "SM3 is not offered"),
];
