//! Numbers of enumerated values in records, `docs/spec/records.md`. The same as on the wire where both have one.

use strongroom_types::{
    ClusterMode, ClusterState, Curve, HsmType, KeyClass, KeyType, MlDsaAlgorithm, MtlsEnforcement, Role,
};

use crate::command::Effect;

macro_rules! numbered {
    ($to:ident, $from:ident, $kind:ident: $($variant:ident = $number:literal),* $(,)?) => {
        pub(crate) fn $to(value: $kind) -> u32 {
            match value { $($kind::$variant => $number,)* }
        }

        pub(crate) fn $from(number: u32) -> Option<$kind> {
            match number { $($number => Some($kind::$variant),)* _ => None }
        }
    };
}

numbered!(mode_number, mode_from_number, ClusterMode: Fips = 1, NonFips = 2);
numbered!(hsm_type_number, hsm_type_from_number, HsmType: Hsm1Medium = 1, Hsm2mMedium = 2);
numbered!(state_number, state_from_number, ClusterState: Uninitialized = 1, Initialized = 2, Active = 3);
numbered!(enforcement_number, enforcement_from_number, MtlsEnforcement: None = 0, Cluster = 1);
numbered!(role_number, role_from_number, Role: Admin = 1, CryptoUser = 2, UnactivatedAdmin = 3, ApplianceUser = 4);
numbered!(class_number, class_from_number, KeyClass: PublicKey = 1, PrivateKey = 2, SecretKey = 3);
numbered!(type_number, type_from_number, KeyType: Rsa = 1, Ec = 2, Aes = 3, GenericSecret = 4, Des3 = 5, MlDsa = 6);
numbered!(curve_number, curve_from_number, Curve:
    P224 = 1, P256 = 2, P384 = 3, P521 = 4, Secp256k1 = 5, Ed25519 = 6);
numbered!(ml_dsa_number, ml_dsa_from_number, MlDsaAlgorithm: MlDsa44 = 1, MlDsa65 = 2, MlDsa87 = 3);
numbered!(effect_number, effect_from_number, Effect: Granting = 1, Revoking = 2);
