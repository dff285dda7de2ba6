//! From numbers and fields of messages to the project's types and back.
//!
//! A number that stands for nothing is malformed; a mechanism or hash that this version does not know is
//! [`Malformed`] with the field's name, so that a newer client learns which.

use strongroom_types::{
    Curve, HashFunction, KeyClass, KeyType, MacMechanism, MlDsaAlgorithm, MtlsEnforcement, QuorumService, Refusal,
    Role, SignMechanism, Status,
};
use thiserror::Error;

use crate::v1;

pub use crate::attributes::{attribute_message, filter, filter_message, one_attribute, template, template_message};

/// A message, or a field of one, that cannot be what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the field {field} of the message is not valid")]
pub struct Malformed {
    /// The field's name in the `.proto` file.
    pub field: &'static str,
}

impl From<Malformed> for Refusal {
    /// A mechanism that is not known is one that is not supported; everything else breaks the protocol.
    fn from(malformed: Malformed) -> Refusal {
        let status = match malformed.field {
            "mechanism" | "hash" | "salt_length" | "tag_bits" | "iv" => Status::MechanismInvalid,
            "curve" => Status::CurveInvalid,
            "ml_dsa_algorithm" => Status::MechanismInvalid,
            _ => Status::MalformedRequest,
        };
        Refusal::new(status, malformed.field)
    }
}

macro_rules! enumerated {
    ($type:ident, $field:literal, $from_number:ident, $($variant:ident),* $(,)?) => {
        impl From<$type> for v1::$type {
            fn from(value: $type) -> v1::$type {
                match value { $($type::$variant => v1::$type::$variant,)* }
            }
        }

        impl TryFrom<v1::$type> for $type {
            type Error = Malformed;

            fn try_from(value: v1::$type) -> Result<$type, Malformed> {
                match value {
                    v1::$type::Unspecified => Err(Malformed { field: $field }),
                    $(v1::$type::$variant => Ok($type::$variant),)*
                }
            }
        }

        #[doc = concat!("The value of a field `", $field, "`.")]
        pub fn $from_number(number: i32) -> Result<$type, Malformed> {
            v1::$type::try_from(number).map_err(|_| Malformed { field: $field })?.try_into()
        }
    };
}

enumerated!(Role, "role", role, Admin, CryptoUser, UnactivatedAdmin, ApplianceUser);
enumerated!(KeyType, "key_type", key_type, Rsa, Ec, Aes, GenericSecret, Des3, MlDsa);
enumerated!(Curve, "curve", curve, P224, P256, P384, P521, Secp256k1, Ed25519);
enumerated!(MlDsaAlgorithm, "ml_dsa_algorithm", ml_dsa_algorithm, MlDsa44, MlDsa65, MlDsa87);

enumerated!(MtlsEnforcement, "level", enforcement, None, Cluster);
enumerated!(QuorumService, "service", quorum_service, Registration, Quorum, User, Cluster, KeyUsage, KeyManagement,);

impl From<KeyClass> for v1::KeyClass {
    fn from(class: KeyClass) -> v1::KeyClass {
        match class {
            KeyClass::PublicKey => v1::KeyClass::Public,
            KeyClass::PrivateKey => v1::KeyClass::Private,
            KeyClass::SecretKey => v1::KeyClass::Secret,
        }
    }
}

impl TryFrom<v1::KeyClass> for KeyClass {
    type Error = Malformed;

    fn try_from(class: v1::KeyClass) -> Result<KeyClass, Malformed> {
        match class {
            v1::KeyClass::Unspecified => Err(Malformed { field: "class" }),
            v1::KeyClass::Public => Ok(KeyClass::PublicKey),
            v1::KeyClass::Private => Ok(KeyClass::PrivateKey),
            v1::KeyClass::Secret => Ok(KeyClass::SecretKey),
        }
    }
}

/// The value of a field `class`.
pub fn key_class(number: i32) -> Result<KeyClass, Malformed> {
    v1::KeyClass::try_from(number).map_err(|_| Malformed { field: "class" })?.try_into()
}

enumerated!(HashFunction, "hash", hash, Sha1, Sha224, Sha256, Sha384, Sha512);

/// The mechanism of a signature. Fields that it has no use for must be zero, so that one meaning has one form.
pub fn sign_mechanism(mechanism: i32, hash: i32, salt_length: u32) -> Result<SignMechanism, Malformed> {
    let unknown = Malformed { field: "mechanism" };
    let bare = |mechanism| {
        if hash == 0 && salt_length == 0 { Ok(mechanism) } else { Err(Malformed { field: "parameters" }) }
    };
    match v1::Mechanism::try_from(mechanism).map_err(|_| unknown)? {
        v1::Mechanism::RsaPkcs => bare(SignMechanism::RsaPkcs),
        v1::Mechanism::RsaX509 => bare(SignMechanism::RsaX509),
        v1::Mechanism::Ecdsa => bare(SignMechanism::Ecdsa),
        v1::Mechanism::Ed25519 => bare(SignMechanism::Ed25519),
        v1::Mechanism::Ed25519Ph => bare(SignMechanism::Ed25519Ph),
        v1::Mechanism::MlDsa => bare(SignMechanism::MlDsa),
        v1::Mechanism::RsaPkcsPss => {
            let salt_len = u16::try_from(salt_length).map_err(|_| Malformed { field: "salt_length" })?;
            Ok(SignMechanism::RsaPkcsPss { hash: self::hash(hash)?, salt_len })
        }
        v1::Mechanism::Unspecified
        | v1::Mechanism::RsaOaep
        | v1::Mechanism::AesEcb
        | v1::Mechanism::AesCbc
        | v1::Mechanism::AesCtr
        | v1::Mechanism::AesGcm
        | v1::Mechanism::Des3Ecb
        | v1::Mechanism::Des3Cbc
        | v1::Mechanism::Hmac
        | v1::Mechanism::AesCmac => Err(unknown),
    }
}

/// Mechanism, hash and salt length of a message for this mechanism.
pub fn sign_parts(mechanism: SignMechanism) -> (i32, i32, u32) {
    match mechanism {
        SignMechanism::RsaPkcs => (v1::Mechanism::RsaPkcs.into(), 0, 0),
        SignMechanism::RsaPkcsPss { hash, salt_len } => {
            (v1::Mechanism::RsaPkcsPss.into(), v1::HashFunction::from(hash).into(), u32::from(salt_len))
        }
        SignMechanism::RsaX509 => (v1::Mechanism::RsaX509.into(), 0, 0),
        SignMechanism::Ecdsa => (v1::Mechanism::Ecdsa.into(), 0, 0),
        SignMechanism::Ed25519 => (v1::Mechanism::Ed25519.into(), 0, 0),
        SignMechanism::Ed25519Ph => (v1::Mechanism::Ed25519Ph.into(), 0, 0),
        SignMechanism::MlDsa => (v1::Mechanism::MlDsa.into(), 0, 0),
    }
}

/// The mechanism of a message authentication code; none when the number is one of a signature, or of nothing.
pub fn mac_mechanism(mechanism: i32, hash: i32, salt_length: u32) -> Result<Option<MacMechanism>, Malformed> {
    let bare = |fits: bool, mechanism| if fits { Ok(Some(mechanism)) } else { Err(Malformed { field: "parameters" }) };
    match v1::Mechanism::try_from(mechanism) {
        Ok(v1::Mechanism::Hmac) => bare(salt_length == 0, MacMechanism::Hmac(self::hash(hash)?)),
        Ok(v1::Mechanism::AesCmac) => bare(hash == 0 && salt_length == 0, MacMechanism::AesCmac),
        _ => Ok(None),
    }
}

/// Mechanism and hash of a message for this mechanism.
pub fn mac_parts(mechanism: MacMechanism) -> (i32, i32) {
    match mechanism {
        MacMechanism::AesCmac => (v1::Mechanism::AesCmac.into(), 0),
        MacMechanism::Hmac(hash) => (v1::Mechanism::Hmac.into(), v1::HashFunction::from(hash).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_reads_back_and_other_numbers_do_not() {
        let roles = [Role::Admin, Role::CryptoUser, Role::UnactivatedAdmin, Role::ApplianceUser];
        for value in roles {
            assert_eq!(role(v1::Role::from(value).into()), Ok(value));
        }
        for value in QuorumService::ALL {
            assert_eq!(quorum_service(v1::QuorumService::from(value).into()), Ok(value));
            assert_eq!(v1::QuorumService::from(value) as i32, i32::from(value.number()));
        }
        for value in KeyType::ALL {
            assert_eq!(key_type(v1::KeyType::from(*value).into()), Ok(*value));
        }
        for value in KeyClass::ALL {
            assert_eq!(key_class(v1::KeyClass::from(*value).into()), Ok(*value));
        }
        for value in Curve::ALL {
            assert_eq!(curve(v1::Curve::from(*value).into()), Ok(*value));
        }
        for value in MlDsaAlgorithm::ALL {
            assert_eq!(ml_dsa_algorithm(v1::MlDsaAlgorithm::from(*value).into()), Ok(*value));
        }
        for value in MtlsEnforcement::ALL {
            assert_eq!(enforcement(v1::MtlsEnforcement::from(value).into()), Ok(value));
        }
        for value in HashFunction::ALL {
            assert_eq!(hash(v1::HashFunction::from(value).into()), Ok(value));
        }
        for number in [0, -1, 99, i32::MAX, i32::MIN] {
            assert!(role(number).is_err() && key_type(number).is_err() && key_class(number).is_err());
            assert!(curve(number).is_err() && hash(number).is_err() && ml_dsa_algorithm(number).is_err());
            assert!(enforcement(number).is_err());
            assert!(sign_mechanism(number, 0, 0).is_err());
            assert_eq!(mac_mechanism(number, 0, 0), Ok(None));
        }
    }

    #[test]
    fn mechanisms_read_back_and_take_no_parameter_they_do_not_have() {
        let pss = SignMechanism::RsaPkcsPss { hash: HashFunction::Sha384, salt_len: 48 };
        let mechanisms = [
            SignMechanism::RsaPkcs,
            pss,
            SignMechanism::RsaX509,
            SignMechanism::Ecdsa,
            SignMechanism::Ed25519,
            SignMechanism::Ed25519Ph,
            SignMechanism::MlDsa,
        ];
        for mechanism in mechanisms {
            let (number, hash, salt_length) = sign_parts(mechanism);
            assert_eq!(sign_mechanism(number, hash, salt_length), Ok(mechanism));
            if mechanism != pss {
                assert!(sign_mechanism(number, 3, 0).is_err());
                assert!(sign_mechanism(number, 0, 1).is_err());
            }
        }
        let macs = HashFunction::ALL.map(MacMechanism::Hmac).into_iter().chain([MacMechanism::AesCmac]);
        for mechanism in macs {
            let (number, hash) = mac_parts(mechanism);
            assert_eq!(mac_mechanism(number, hash, 0), Ok(Some(mechanism)));
            assert_eq!(mac_mechanism(number, hash, 1), Err(Malformed { field: "parameters" }));
            assert!(sign_mechanism(number, hash, 0).is_err());
        }
        assert_eq!(mac_mechanism(v1::Mechanism::AesCmac.into(), 1, 0), Err(Malformed { field: "parameters" }));
        assert_eq!(mac_mechanism(v1::Mechanism::Hmac.into(), 0, 0), Err(Malformed { field: "hash" }));
        assert_eq!(mac_mechanism(v1::Mechanism::RsaPkcs.into(), 0, 0), Ok(None));
        let pss = v1::Mechanism::RsaPkcsPss.into();
        assert_eq!(sign_mechanism(pss, 0, 20), Err(Malformed { field: "hash" }));
        assert_eq!(sign_mechanism(pss, 1, 65_536), Err(Malformed { field: "salt_length" }));
        assert!(sign_mechanism(v1::Mechanism::RsaOaep.into(), 0, 0).is_err());
        assert_eq!(Refusal::from(Malformed { field: "mechanism" }).status, Status::MechanismInvalid);
        assert_eq!(Refusal::from(Malformed { field: "key" }).status, Status::MalformedRequest);
    }
}
