//! What is allowed on which HSMs and in which mode of the cluster: one row an algorithm. `docs/reference/algorithms.md`
//! is this table for readers; a test here compares the two.

use strongroom_types::{
    CipherMechanism, ClusterMode, Curve, Derivation, EcdhKdf, HsmType, KeyType, MacMechanism, PublicPart, Refusal,
    RsaCipher, SignMechanism, Status, WrapMechanism,
};

use crate::Cluster;

/// What FIPS mode says to an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fips {
    /// Approved, whatever the parameters.
    Approved,
    /// Approved on this condition, which the caller of [`Row::permits`] looks at.
    Within(&'static str),
    /// Refused.
    Refused,
}

/// One algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub algorithm: Algorithm,
    /// Its name for people.
    pub name: &'static str,
    /// Whether hsm1.medium has it, which knows FIPS mode only.
    pub hsm1: bool,
    /// What FIPS mode says to it. The other mode allows all.
    pub fips: Fips,
}

macro_rules! algorithms {
    ($($(#[$doc:meta])* $name:ident: $text:literal, $hsm1:literal, $fips:expr;)*) => {
        /// Keys to make or bring in, and what to do with them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Algorithm { $($(#[$doc])* $name,)* }

        /// Every algorithm.
        pub const TABLE: &[Row] = &[
            $(Row { algorithm: Algorithm::$name, name: $text, hsm1: $hsm1, fips: $fips },)*
        ];

        impl Algorithm {
            /// Its row.
            pub fn row(self) -> Row {
                match self {
                    $(Algorithm::$name => Row { algorithm: self, name: $text, hsm1: $hsm1, fips: $fips },)*
                }
            }
        }
    };
}

use Fips::{Approved, Refused, Within};

algorithms! {
    /// FIPS 197.
    AesKeys: "AES keys", true, Approved;
    /// SP 800-67 rev. 2. They are brought in, kept and wrapped, so that their owners can move them out and decrypt what they
    /// have; SP 800-131A rev. 2 §2 disallows encryption.
    Des3Keys: "3DES keys", true, Within("three DES keys, the second unlike the others");
    /// FIPS 186-5 §6, SP 800-186.
    EcdsaKeys: "EC keys for ECDSA", true, Approved;
    /// FIPS 186-5 §7; the original has them outside FIPS mode only.
    Ed25519Keys: "Ed25519 keys", false, Refused;
    /// For HMAC and derivation.
    GenericSecrets: "Generic secrets", true, Approved;
    /// FIPS 204.
    MlDsaKeys: "ML-DSA keys", false, Approved;
    /// FIPS 186-5 §5.
    RsaKeys: "RSA keys", true, Approved;

    /// FIPS 186-5 §6.1.1.
    SignEcdsa: "ECDSA signature", true, Within("a digest at least as long as the curve asks");
    /// RFC 8032 §5.1.
    SignEd25519: "Ed25519 signature", false, Refused;
    /// RFC 8032 §5.1.
    SignEd25519Ph: "Ed25519ph signature", false, Refused;
    /// FIPS 204.
    SignMlDsa: "ML-DSA signature", false, Approved;
    /// What the caller padded can't be judged.
    SignRsaX509: "Raw RSA signature", true, Approved;
    /// RFC 8017 §8.2.
    SignRsaPkcs: "RSA PKCS #1 v1.5 signature", true, Within("no SHA-1 or MD5 where a DigestInfo shows the hash");
    /// RFC 8017 §8.1, FIPS 186-5 §5.4.
    SignRsaPss: "RSA-PSS signature", true, Within("no SHA-1; a salt no longer than the digest");

    /// Verifying what was signed long ago stays possible.
    VerifyEcdsa: "ECDSA verification", true, Approved;
    /// As its keys.
    VerifyEd25519: "Ed25519 verification", false, Refused;
    /// As its keys.
    VerifyEd25519Ph: "Ed25519ph verification", false, Refused;
    /// FIPS 204.
    VerifyMlDsa: "ML-DSA verification", false, Approved;
    /// As above.
    VerifyRsaX509: "Raw RSA verification", true, Approved;
    /// As above.
    VerifyRsaPkcs: "RSA PKCS #1 v1.5 verification", true, Approved;
    /// As above.
    VerifyRsaPss: "RSA-PSS verification", true, Approved;

    /// SP 800-38B.
    MacAesCmac: "AES-CMAC", true, Approved;
    /// FIPS 198-1; SP 800-131A rev. 2 §10.
    MacHmac: "HMAC", true, Within("a key of at least 112 bits");
    /// As above.
    VerifyAesCmac: "AES-CMAC verification", true, Approved;
    /// Verifying what was made long ago stays possible.
    VerifyHmac: "HMAC verification", true, Approved;

    /// SP 800-38A §6.2.
    EncryptAesCbc: "AES-CBC encryption", true, Approved;
    /// SP 800-38A §6.5.
    EncryptAesCtr: "AES-CTR encryption", true, Approved;
    /// SP 800-38A §6.1.
    EncryptAesEcb: "AES-ECB encryption", true, Approved;
    /// SP 800-38D, the IV by the HSM.
    EncryptAesGcm: "AES-GCM encryption", true, Approved;
    /// SP 800-131A rev. 2 §2.
    EncryptDes3Cbc: "3DES-CBC encryption", true, Refused;
    /// As above.
    EncryptDes3Ecb: "3DES-ECB encryption", true, Refused;
    /// The caller pads.
    EncryptRsaX509: "Raw RSA encryption", true, Approved;
    /// SP 800-56B rev. 2 §7.2.2.
    EncryptRsaOaep: "RSA-OAEP encryption", true, Approved;
    /// SP 800-131A rev. 2 §6.
    EncryptRsaPkcs: "RSA PKCS #1 v1.5 encryption", true, Refused;

    /// SP 800-38A §6.2.
    DecryptAesCbc: "AES-CBC decryption", true, Approved;
    /// SP 800-38A §6.5.
    DecryptAesCtr: "AES-CTR decryption", true, Approved;
    /// SP 800-38A §6.1.
    DecryptAesEcb: "AES-ECB decryption", true, Approved;
    /// SP 800-38D.
    DecryptAesGcm: "AES-GCM decryption", true, Approved;
    /// Legacy use (SP 800-131A rev. 2 §2).
    DecryptDes3Cbc: "3DES-CBC decryption", true, Approved;
    /// As above.
    DecryptDes3Ecb: "3DES-ECB decryption", true, Approved;
    /// The caller removes the padding.
    DecryptRsaX509: "Raw RSA decryption", true, Approved;
    /// SP 800-56B rev. 2 §7.2.2.
    DecryptRsaOaep: "RSA-OAEP decryption", true, Approved;
    /// SP 800-131A rev. 2 §6.
    DecryptRsaPkcs: "RSA PKCS #1 v1.5 decryption", true, Refused;

    /// SP 800-131A rev. 2 §2: nothing new is encrypted with them.
    MakeDes3Keys: "3DES keys made here", true, Refused;
    /// SP 800-108 rev. 1 §4.1, with HMAC (SHA-1 too) or CMAC.
    DeriveCounterKdf: "SP 800-108 counter KDF", true, Approved;
    /// What is derived is a piece of the shared secret, which SP 800-56A rev. 3 §5.8 does not have.
    DeriveEcdh: "ECDH without KDF", true, Refused;
    /// SP 800-56A rev. 3 §5.7.1.2, SP 800-135 rev. 1 §4.2.
    DeriveEcdhX963: "ECDH with the X9.63 KDF", true, Within("a curve of NIST's");

    /// SP 800-38D, the IV by the HSM.
    WrapAesGcm: "AES-GCM wrapping", true, Approved;
    /// SP 800-38F §6.2, RFC 3394.
    WrapAesNoPad: "AES key wrapping without padding", true, Approved;
    /// The same, over PKCS #5 padding.
    WrapAesPkcs5Pad: "AES key wrapping with PKCS #5 padding", true, Approved;
    /// SP 800-38F §6.3, RFC 5649.
    WrapAesZeroPad: "AES key wrapping with zero padding", true, Approved;
    /// OAEP around AES key wrapping.
    WrapRsaAes: "RSA-AES wrapping", true, Approved;
    /// SP 800-56B rev. 2 §9.
    WrapRsaOaep: "RSA-OAEP wrapping", true, Approved;
    /// SP 800-131A rev. 2 §6.
    WrapRsaPkcs: "RSA PKCS #1 v1.5 wrapping", true, Refused;
}

impl Row {
    /// Whether such a cluster allows the algorithm. What stands in [`Fips::Within`] is not looked at here.
    pub fn permits(&self, hsm_type: HsmType, mode: ClusterMode) -> Result<(), Refusal> {
        if hsm_type == HsmType::Hsm1Medium && !self.hsm1 {
            return Err(Refusal::new(Status::AlgorithmNotOfType, self.name));
        }
        if mode == ClusterMode::Fips && self.fips == Fips::Refused {
            return Err(Refusal::new(Status::MechanismNotApproved, self.name));
        }
        Ok(())
    }
}

impl Algorithm {
    /// Whether the cluster allows it.
    pub(crate) fn permitted_in(self, cluster: &Cluster) -> Result<(), Refusal> {
        self.row().permits(cluster.hsm_type, cluster.mode)
    }

    /// The row of keys with this public part.
    pub fn of_public(public: &PublicPart) -> Algorithm {
        match public {
            PublicPart::Rsa { .. } => Algorithm::RsaKeys,
            PublicPart::Ec { curve, .. } => Algorithm::of_curve(*curve),
            PublicPart::MlDsa { .. } => Algorithm::MlDsaKeys,
        }
    }

    /// The row of keys on this curve.
    pub fn of_curve(curve: Curve) -> Algorithm {
        if curve.is_weierstrass() { Algorithm::EcdsaKeys } else { Algorithm::Ed25519Keys }
    }

    /// The row of secret keys of this type; none when there are no secret keys of it.
    pub fn of_secret(key_type: KeyType) -> Option<Algorithm> {
        match key_type {
            KeyType::Aes => Some(Algorithm::AesKeys),
            KeyType::Des3 => Some(Algorithm::Des3Keys),
            KeyType::GenericSecret => Some(Algorithm::GenericSecrets),
            KeyType::Ec | KeyType::MlDsa | KeyType::Rsa => None,
        }
    }

    /// The row of signing by this mechanism.
    pub fn of_signing(mechanism: SignMechanism) -> Algorithm {
        match mechanism {
            SignMechanism::Ecdsa => Algorithm::SignEcdsa,
            SignMechanism::Ed25519 => Algorithm::SignEd25519,
            SignMechanism::Ed25519Ph => Algorithm::SignEd25519Ph,
            SignMechanism::MlDsa => Algorithm::SignMlDsa,
            SignMechanism::RsaX509 => Algorithm::SignRsaX509,
            SignMechanism::RsaPkcs => Algorithm::SignRsaPkcs,
            SignMechanism::RsaPkcsPss { .. } => Algorithm::SignRsaPss,
        }
    }

    /// The row of verifying by this mechanism.
    pub fn of_verifying(mechanism: SignMechanism) -> Algorithm {
        match mechanism {
            SignMechanism::Ecdsa => Algorithm::VerifyEcdsa,
            SignMechanism::Ed25519 => Algorithm::VerifyEd25519,
            SignMechanism::Ed25519Ph => Algorithm::VerifyEd25519Ph,
            SignMechanism::MlDsa => Algorithm::VerifyMlDsa,
            SignMechanism::RsaX509 => Algorithm::VerifyRsaX509,
            SignMechanism::RsaPkcs => Algorithm::VerifyRsaPkcs,
            SignMechanism::RsaPkcsPss { .. } => Algorithm::VerifyRsaPss,
        }
    }

    /// The row of encrypting by this mechanism.
    pub fn of_encrypting(mechanism: &CipherMechanism) -> Algorithm {
        match mechanism {
            CipherMechanism::AesCbc { .. } => Algorithm::EncryptAesCbc,
            CipherMechanism::AesCtr { .. } => Algorithm::EncryptAesCtr,
            CipherMechanism::AesEcb => Algorithm::EncryptAesEcb,
            CipherMechanism::AesGcm { .. } => Algorithm::EncryptAesGcm,
            CipherMechanism::Des3Cbc { .. } => Algorithm::EncryptDes3Cbc,
            CipherMechanism::Des3Ecb => Algorithm::EncryptDes3Ecb,
            CipherMechanism::Rsa(RsaCipher::X509) => Algorithm::EncryptRsaX509,
            CipherMechanism::Rsa(RsaCipher::Oaep { .. }) => Algorithm::EncryptRsaOaep,
            CipherMechanism::Rsa(RsaCipher::Pkcs) => Algorithm::EncryptRsaPkcs,
        }
    }

    /// The row of decrypting by this mechanism.
    pub fn of_decrypting(mechanism: &CipherMechanism) -> Algorithm {
        match mechanism {
            CipherMechanism::AesCbc { .. } => Algorithm::DecryptAesCbc,
            CipherMechanism::AesCtr { .. } => Algorithm::DecryptAesCtr,
            CipherMechanism::AesEcb => Algorithm::DecryptAesEcb,
            CipherMechanism::AesGcm { .. } => Algorithm::DecryptAesGcm,
            CipherMechanism::Des3Cbc { .. } => Algorithm::DecryptDes3Cbc,
            CipherMechanism::Des3Ecb => Algorithm::DecryptDes3Ecb,
            CipherMechanism::Rsa(RsaCipher::X509) => Algorithm::DecryptRsaX509,
            CipherMechanism::Rsa(RsaCipher::Oaep { .. }) => Algorithm::DecryptRsaOaep,
            CipherMechanism::Rsa(RsaCipher::Pkcs) => Algorithm::DecryptRsaPkcs,
        }
    }

    /// The row of making codes by this mechanism.
    pub fn of_mac(mechanism: MacMechanism) -> Algorithm {
        match mechanism {
            MacMechanism::AesCmac => Algorithm::MacAesCmac,
            MacMechanism::Hmac(_) => Algorithm::MacHmac,
        }
    }

    /// The row of verifying codes by this mechanism.
    pub fn of_verifying_mac(mechanism: MacMechanism) -> Algorithm {
        match mechanism {
            MacMechanism::AesCmac => Algorithm::VerifyAesCmac,
            MacMechanism::Hmac(_) => Algorithm::VerifyHmac,
        }
    }

    /// The row of this derivation.
    pub fn of_deriving(derivation: &Derivation) -> Algorithm {
        match derivation {
            Derivation::CounterKdf { .. } => Algorithm::DeriveCounterKdf,
            Derivation::Ecdh { kdf: EcdhKdf::None, .. } => Algorithm::DeriveEcdh,
            Derivation::Ecdh { kdf: EcdhKdf::X963 { .. }, .. } => Algorithm::DeriveEcdhX963,
        }
    }

    /// The row of wrapping and unwrapping by this mechanism.
    pub fn of_wrapping(mechanism: WrapMechanism) -> Algorithm {
        match mechanism {
            WrapMechanism::AesGcm { .. } | WrapMechanism::CloudhsmAesGcm { .. } => Algorithm::WrapAesGcm,
            WrapMechanism::AesNoPad => Algorithm::WrapAesNoPad,
            WrapMechanism::AesPkcs5Pad => Algorithm::WrapAesPkcs5Pad,
            WrapMechanism::AesZeroPad => Algorithm::WrapAesZeroPad,
            WrapMechanism::RsaAes { .. } => Algorithm::WrapRsaAes,
            WrapMechanism::RsaOaep { .. } => Algorithm::WrapRsaOaep,
            WrapMechanism::RsaPkcs => Algorithm::WrapRsaPkcs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/reference/algorithms.md");

    /// The page's word for what a cluster says to an algorithm.
    fn word(row: &Row, hsm_type: HsmType, mode: ClusterMode) -> String {
        match (row.permits(hsm_type, mode).map_err(|refusal| refusal.status), row.fips) {
            (Ok(()), Within(condition)) if mode == ClusterMode::Fips => format!("yes: {condition}"),
            (Ok(()), _) => "yes".to_owned(),
            (Err(Status::AlgorithmNotOfType), _) => "not on this type".to_owned(),
            (Err(status), _) => {
                assert_eq!(status, Status::MechanismNotApproved);
                "no".to_owned()
            }
        }
    }

    #[test]
    fn the_page_tells_every_algorithm_on_every_type_in_every_mode() {
        let expected: Vec<[String; 4]> = TABLE
            .iter()
            .map(|row| {
                [
                    row.name.to_owned(),
                    word(row, HsmType::Hsm1Medium, ClusterMode::Fips),
                    word(row, HsmType::Hsm2mMedium, ClusterMode::Fips),
                    word(row, HsmType::Hsm2mMedium, ClusterMode::NonFips),
                ]
            })
            .collect();
        let rows = PAGE.lines().filter_map(|line| {
            let cells: Vec<String> =
                line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").map(str::to_owned).collect();
            let cells = <[String; 4]>::try_from(cells).ok()?;
            (cells[0] != "Algorithm" && !cells[0].starts_with('-')).then_some(cells)
        });
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn nothing_is_refused_outside_fips_mode_but_what_the_type_lacks() {
        for row in TABLE {
            assert_eq!(row.algorithm.row(), *row);
            assert_eq!(row.permits(HsmType::Hsm2mMedium, ClusterMode::NonFips), Ok(()));
        }
    }
}
