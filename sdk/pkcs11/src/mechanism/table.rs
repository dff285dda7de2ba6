//! Every mechanism in one table: what it is for, with which keys, in which cluster. `C_GetMechanismList`,
//! `C_GetMechanismInfo` and the checks of `C_*Init` read it; `docs/reference/pkcs11.md` is compared with it.

use cryptoki_sys::*;
use strongroom_types::HashFunction::{self, Sha1, Sha224, Sha256, Sha384, Sha512};
use strongroom_types::{ClusterMode, HsmType};

use super::keys::Keys;
use crate::vendor::{
    CKM_CLOUDHSM_AES_GCM, CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD, CKM_CLOUDHSM_AES_KEY_WRAP_PKCS5_PAD,
    CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD, CKM_CLOUDHSM_EDDSA, CKM_CLOUDHSM_EXT_MU_ML_DSA, CKM_CLOUDHSM_ML_DSA,
    CKM_CLOUDHSM_ML_DSA_KEY_PAIR_GEN, CKM_CLOUDHSM_SP800_108_COUNTER_KDF,
};

/// One mechanism.
#[derive(Debug, PartialEq)]
pub(crate) struct Row {
    /// Its number.
    pub(crate) number: CK_MECHANISM_TYPE,
    /// Its name.
    pub(crate) name: &'static str,
    /// The form of its parameter.
    pub(crate) form: Form,
    /// The keys that it makes or uses.
    pub(crate) keys: Keys,
    /// What it is for: `CKF_` bits.
    pub(crate) functions: CK_FLAGS,
    /// What FIPS mode leaves of that.
    pub(crate) fips: CK_FLAGS,
    /// Where it is.
    place: Place,
}

/// Where a mechanism is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On every HSM.
    Everywhere,
    /// On hsm2m.medium only.
    Hsm2m,
    /// The same, and in no list: the standard's number of a mechanism that is listed under the vendor's. Programs exist that
    /// take a number they do not know for fatal, so the list has those of the original only.
    Unlisted,
}

/// The form of a mechanism's parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// There is none.
    None,
    /// An initialisation vector of one block of AES.
    AesIv,
    /// An initialisation vector of one block of 3DES.
    Des3Iv,
    /// `CK_AES_CTR_PARAMS`.
    Ctr,
    /// `CK_GCM_PARAMS`.
    Gcm,
    /// `CK_GCM_PARAMS` without an initialisation vector, which stands before the ciphertext.
    CloudhsmGcm,
    /// `CK_RSA_PKCS_PSS_PARAMS`, of this hash if one is said.
    Pss(Option<HashFunction>),
    /// `CK_RSA_PKCS_OAEP_PARAMS`.
    Oaep,
    /// `CK_RSA_AES_KEY_WRAP_PARAMS`.
    RsaAes,
    /// None, or `CK_EDDSA_PARAMS` of Ed25519ph.
    Eddsa,
    /// None, or the default value of RFC 3394 §2.2.3.1.
    KeyWrap,
    /// `CK_ECDH1_DERIVE_PARAMS`.
    Ecdh,
    /// `CK_SP800_108_KDF_PARAMS` of the vendor's header.
    CounterKdf,
}

const SIGNATURE: CK_FLAGS = CKF_SIGN | CKF_VERIFY;
const CIPHER: CK_FLAGS = CKF_ENCRYPT | CKF_DECRYPT;
const WRAPPING: CK_FLAGS = CKF_WRAP | CKF_UNWRAP;
const PAIR: CK_FLAGS = CKF_GENERATE_KEY_PAIR;
const SECRET: CK_FLAGS = CKF_GENERATE;
const NOTHING: CK_FLAGS = 0;

macro_rules! rows {
    ($($number:ident: $form:expr, $keys:ident, $functions:expr, fips $fips:expr $(, $place:ident)?;)*) => {
        /// Every mechanism, in the order in which it is listed.
        pub(crate) static TABLE: &[Row] = &[$(Row {
            number: $number,
            name: stringify!($number),
            form: $form,
            keys: Keys::$keys,
            functions: $functions,
            fips: $fips,
            place: rows!(@place $($place)?),
        },)*];
    };
    (@place) => { Place::Everywhere };
    (@place $place:ident) => { Place::$place };
}

rows! {
    CKM_RSA_PKCS_KEY_PAIR_GEN: Form::None, Rsa, PAIR, fips PAIR;
    CKM_RSA_X9_31_KEY_PAIR_GEN: Form::None, Rsa, PAIR, fips PAIR;
    CKM_EC_KEY_PAIR_GEN: Form::None, EcAny, PAIR, fips PAIR;
    CKM_CLOUDHSM_ML_DSA_KEY_PAIR_GEN: Form::None, MlDsa, PAIR, fips PAIR, Hsm2m;
    CKM_GENERIC_SECRET_KEY_GEN: Form::None, GenericSecret, SECRET, fips SECRET;
    CKM_AES_KEY_GEN: Form::None, Aes, SECRET, fips SECRET;
    CKM_DES3_KEY_GEN: Form::None, Des3, SECRET, fips NOTHING;

    CKM_RSA_X_509: Form::None, Rsa, SIGNATURE | CIPHER, fips SIGNATURE | CIPHER;
    CKM_RSA_PKCS: Form::None, Rsa, SIGNATURE | CIPHER | WRAPPING, fips SIGNATURE;
    CKM_RSA_PKCS_PSS: Form::Pss(None), Rsa, SIGNATURE, fips SIGNATURE;
    CKM_SHA1_RSA_PKCS: Form::None, Rsa, SIGNATURE, fips CKF_VERIFY;
    CKM_SHA224_RSA_PKCS: Form::None, Rsa, SIGNATURE, fips SIGNATURE;
    CKM_SHA256_RSA_PKCS: Form::None, Rsa, SIGNATURE, fips SIGNATURE;
    CKM_SHA384_RSA_PKCS: Form::None, Rsa, SIGNATURE, fips SIGNATURE;
    CKM_SHA512_RSA_PKCS: Form::None, Rsa, SIGNATURE, fips SIGNATURE;
    CKM_SHA1_RSA_PKCS_PSS: Form::Pss(Some(Sha1)), Rsa, SIGNATURE, fips CKF_VERIFY;
    CKM_SHA224_RSA_PKCS_PSS: Form::Pss(Some(Sha224)), Rsa, SIGNATURE, fips SIGNATURE;
    CKM_SHA256_RSA_PKCS_PSS: Form::Pss(Some(Sha256)), Rsa, SIGNATURE, fips SIGNATURE;
    CKM_SHA384_RSA_PKCS_PSS: Form::Pss(Some(Sha384)), Rsa, SIGNATURE, fips SIGNATURE;
    CKM_SHA512_RSA_PKCS_PSS: Form::Pss(Some(Sha512)), Rsa, SIGNATURE, fips SIGNATURE;
    CKM_ECDSA: Form::None, Ec, SIGNATURE, fips SIGNATURE;
    CKM_ECDSA_SHA1: Form::None, Ec, SIGNATURE, fips CKF_VERIFY;
    CKM_ECDSA_SHA224: Form::None, Ec, SIGNATURE, fips SIGNATURE;
    CKM_ECDSA_SHA256: Form::None, Ec, SIGNATURE, fips SIGNATURE;
    CKM_ECDSA_SHA384: Form::None, Ec, SIGNATURE, fips SIGNATURE;
    CKM_ECDSA_SHA512: Form::None, Ec, SIGNATURE, fips SIGNATURE;
    CKM_CLOUDHSM_EDDSA: Form::Eddsa, Ed25519, SIGNATURE, fips NOTHING, Hsm2m;
    CKM_CLOUDHSM_ML_DSA: Form::None, MlDsa, SIGNATURE, fips SIGNATURE, Hsm2m;
    CKM_CLOUDHSM_EXT_MU_ML_DSA: Form::None, MlDsa, SIGNATURE, fips SIGNATURE, Hsm2m;
    CKM_SHA_1_HMAC: Form::None, Secret, SIGNATURE, fips SIGNATURE;
    CKM_SHA224_HMAC: Form::None, Secret, SIGNATURE, fips SIGNATURE;
    CKM_SHA256_HMAC: Form::None, Secret, SIGNATURE, fips SIGNATURE;
    CKM_SHA384_HMAC: Form::None, Secret, SIGNATURE, fips SIGNATURE;
    CKM_SHA512_HMAC: Form::None, Secret, SIGNATURE, fips SIGNATURE;
    CKM_AES_CMAC: Form::None, Aes, SIGNATURE, fips SIGNATURE;

    CKM_SHA_1: Form::None, None, CKF_DIGEST, fips CKF_DIGEST;
    CKM_SHA224: Form::None, None, CKF_DIGEST, fips CKF_DIGEST;
    CKM_SHA256: Form::None, None, CKF_DIGEST, fips CKF_DIGEST;
    CKM_SHA384: Form::None, None, CKF_DIGEST, fips CKF_DIGEST;
    CKM_SHA512: Form::None, None, CKF_DIGEST, fips CKF_DIGEST;
    CKM_RSA_PKCS_OAEP: Form::Oaep, Rsa, CIPHER | WRAPPING, fips CIPHER | WRAPPING;
    CKM_AES_ECB: Form::None, Aes, CIPHER, fips CIPHER;
    CKM_AES_CBC: Form::AesIv, Aes, CIPHER, fips CIPHER;
    CKM_AES_CBC_PAD: Form::AesIv, Aes, CIPHER, fips CIPHER;
    CKM_AES_CTR: Form::Ctr, Aes, CIPHER, fips CIPHER;
    CKM_DES3_ECB: Form::None, Des3, CIPHER, fips CKF_DECRYPT;
    CKM_DES3_CBC: Form::Des3Iv, Des3, CIPHER, fips CKF_DECRYPT;
    CKM_DES3_CBC_PAD: Form::Des3Iv, Des3, CIPHER, fips CKF_DECRYPT;
    CKM_AES_GCM: Form::Gcm, Aes, CIPHER | WRAPPING, fips CIPHER | WRAPPING;
    CKM_CLOUDHSM_AES_GCM: Form::CloudhsmGcm, Aes, CIPHER | WRAPPING, fips CIPHER | WRAPPING;

    CKM_CLOUDHSM_SP800_108_COUNTER_KDF: Form::CounterKdf, Aes, CKF_DERIVE, fips CKF_DERIVE;
    CKM_ECDH1_DERIVE: Form::Ecdh, Ec, CKF_DERIVE, fips CKF_DERIVE;

    CKM_RSA_AES_KEY_WRAP: Form::RsaAes, Rsa, WRAPPING, fips WRAPPING;
    CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD: Form::KeyWrap, Aes, WRAPPING, fips WRAPPING;
    CKM_CLOUDHSM_AES_KEY_WRAP_PKCS5_PAD: Form::KeyWrap, Aes, WRAPPING, fips WRAPPING;
    CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD: Form::None, Aes, WRAPPING, fips WRAPPING;

    CKM_EC_EDWARDS_KEY_PAIR_GEN: Form::None, Ed25519, PAIR, fips NOTHING, Unlisted;
    CKM_EDDSA: Form::Eddsa, Ed25519, SIGNATURE, fips NOTHING, Unlisted;
}

impl Row {
    /// What it is for in such a cluster.
    pub(crate) fn functions_in(&self, hsm_type: HsmType, mode: ClusterMode) -> CK_FLAGS {
        match (self.place, hsm_type, mode) {
            (Place::Hsm2m | Place::Unlisted, HsmType::Hsm1Medium, _) => NOTHING,
            (_, _, ClusterMode::Fips) => self.fips,
            (_, _, ClusterMode::NonFips) => self.functions,
        }
    }

    /// Whether it does this in every cluster, so that none has to be asked.
    pub(crate) fn is_everywhere(&self, function: CK_FLAGS) -> bool {
        self.place == Place::Everywhere && self.fips & function != NOTHING
    }
}

/// The mechanism of this number.
pub(crate) fn row(number: CK_MECHANISM_TYPE) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.number == number)
}

/// The numbers that `C_GetMechanismList` gives for such a cluster: of mechanisms that are good for something there.
pub(crate) fn list(hsm_type: HsmType, mode: ClusterMode) -> Vec<CK_MECHANISM_TYPE> {
    let is_listed = |row: &&Row| row.place != Place::Unlisted && row.functions_in(hsm_type, mode) != NOTHING;
    TABLE.iter().filter(is_listed).map(|row| row.number).collect()
}

/// What `C_GetMechanismInfo` says; none of a mechanism that such a cluster does not have.
pub(crate) fn info(number: CK_MECHANISM_TYPE, hsm_type: HsmType, mode: ClusterMode) -> Option<CK_MECHANISM_INFO> {
    let row = row(number)?;
    let functions = row.functions_in(hsm_type, mode);
    if functions == NOTHING {
        return None;
    }
    let (min, max) = row.keys.sizes();
    // Digests are made in the caller's process, everything else in the HSM.
    let place = if functions == CKF_DIGEST { NOTHING } else { CKF_HW };
    let flags = functions | place | row.keys.curve_flags();
    Some(CK_MECHANISM_INFO { ulMinKeySize: min, ulMaxKeySize: max, flags })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTERS: [(HsmType, ClusterMode); 3] = [
        (HsmType::Hsm1Medium, ClusterMode::Fips),
        (HsmType::Hsm2mMedium, ClusterMode::Fips),
        (HsmType::Hsm2mMedium, ClusterMode::NonFips),
    ];

    #[test]
    fn no_number_stands_twice_and_fips_mode_adds_nothing() {
        for (at, row) in TABLE.iter().enumerate() {
            assert!(TABLE.iter().skip(at + 1).all(|other| other.number != row.number), "{}", row.name);
            assert_eq!(row.fips & !row.functions, 0, "{}", row.name);
            assert_ne!(row.functions, 0, "{}", row.name);
        }
    }

    #[test]
    fn the_list_has_what_the_cluster_does_and_no_extras() {
        let full = list(HsmType::Hsm2mMedium, ClusterMode::NonFips);
        assert_eq!(full.len(), TABLE.len() - 2, "all but the two that are never listed");
        for extra in [CKM_EDDSA, CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD, CKM_MD5] {
            assert!(!full.contains(&extra), "{extra:#x}");
        }
        let fips = list(HsmType::Hsm2mMedium, ClusterMode::Fips);
        let gone: Vec<_> = full.iter().filter(|number| !fips.contains(number)).copied().collect();
        assert_eq!(gone, [CKM_DES3_KEY_GEN, CKM_CLOUDHSM_EDDSA]);
        let hsm1 = list(HsmType::Hsm1Medium, ClusterMode::Fips);
        let gone: Vec<_> = fips.iter().filter(|number| !hsm1.contains(number)).copied().collect();
        assert_eq!(gone, [CKM_CLOUDHSM_ML_DSA_KEY_PAIR_GEN, CKM_CLOUDHSM_ML_DSA, CKM_CLOUDHSM_EXT_MU_ML_DSA]);
        for (hsm_type, mode) in CLUSTERS {
            for number in list(hsm_type, mode) {
                assert!(info(number, hsm_type, mode).is_some(), "{number:#x}");
            }
            assert!(info(CKM_AES_KEY_WRAP, hsm_type, mode).is_none());
        }
    }

    #[test]
    fn flags_follow_the_mode() {
        let check = |number, mode, expected: CK_FLAGS| {
            let info = info(number, HsmType::Hsm2mMedium, mode).unwrap();
            assert_eq!(info.flags & !(CKF_HW | CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS), expected);
            info
        };
        check(CKM_RSA_PKCS, ClusterMode::NonFips, SIGNATURE | CIPHER | WRAPPING);
        check(CKM_RSA_PKCS, ClusterMode::Fips, SIGNATURE);
        check(CKM_SHA1_RSA_PKCS, ClusterMode::Fips, CKF_VERIFY);
        check(CKM_DES3_CBC_PAD, ClusterMode::Fips, CKF_DECRYPT);
        let rsa = check(CKM_SHA256_RSA_PKCS, ClusterMode::Fips, SIGNATURE);
        assert_eq!((rsa.ulMinKeySize, rsa.ulMaxKeySize, rsa.flags & CKF_HW), (2048, 4096, CKF_HW));
        let digest = check(CKM_SHA256, ClusterMode::Fips, CKF_DIGEST);
        assert_eq!((digest.ulMinKeySize, digest.flags), (0, CKF_DIGEST));
        let ec = check(CKM_ECDSA, ClusterMode::Fips, SIGNATURE);
        assert_eq!((ec.ulMinKeySize, ec.ulMaxKeySize), (224, 521));
        assert_ne!(ec.flags & CKF_EC_NAMEDCURVE, 0);
    }

    /// The table of the reference: number, name, functions, what FIPS mode leaves.
    #[test]
    fn the_reference_tells_every_mechanism_as_it_is() {
        let names = |flags: CK_FLAGS| {
            let words = [
                (CKF_GENERATE, "generate"),
                (CKF_GENERATE_KEY_PAIR, "pair"),
                (CKF_SIGN, "sign"),
                (CKF_VERIFY, "verify"),
                (CKF_DIGEST, "digest"),
                (CKF_ENCRYPT, "encrypt"),
                (CKF_DECRYPT, "decrypt"),
                (CKF_DERIVE, "derive"),
                (CKF_WRAP, "wrap"),
                (CKF_UNWRAP, "unwrap"),
            ];
            let names: Vec<&str> = words.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        let expected: Vec<String> = TABLE
            .iter()
            .map(|row| {
                let fips = if row.fips == row.functions { "the same".to_owned() } else { names(row.fips) };
                let place = match row.place {
                    Place::Everywhere => "",
                    Place::Hsm2m => "hsm2m.medium only",
                    Place::Unlisted => "hsm2m.medium only; not listed",
                };
                format!("| `{}` | {:#x} | {} | {fips} | {place} |", row.name, row.number, names(row.functions))
            })
            .collect();
        let page = include_str!("../../../../docs/reference/pkcs11.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `CKM_")).collect();
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(row.split_whitespace().collect::<Vec<_>>(), expected.split_whitespace().collect::<Vec<_>>());
        }
        assert_eq!(rows.len(), expected.len());
    }
}
