//! `C_GenerateKey` and `C_GenerateKeyPair`.

use cryptoki_sys::*;
use strongroom_client::{KeyInfo, PairAlgorithm};
use strongroom_types::limits::DES3_LEN;
use strongroom_types::{AttributeName, AttributeValue, Flag, KeyClass, KeyType, MlDsaAlgorithm, Template};

use super::Entry;
use super::templates::values::{self, inconsistent, invalid};
use super::templates::{self, Call, Kind, Wanted};
use crate::attribute::Given;
use crate::failure::Failure;
use crate::mechanism::Mechanism;
use crate::session::Session;
use crate::vendor::{CKA_CLOUDHSM_PARAMETER_SET, CKM_CLOUDHSM_ML_DSA_KEY_PAIR_GEN};

impl Session {
    /// Makes a secret key.
    pub(crate) fn generate_key(&self, mechanism: &Mechanism, given: &[Given]) -> Result<CK_OBJECT_HANDLE, Failure> {
        let kind = secret_kind(mechanism.number()).ok_or_else(no_generation)?;
        let login = self.login()?;
        let wanted = templates::read(Call::GenerateKey, kind, given)?;
        let length = wanted.small_number(CKA_VALUE_LEN)?.unwrap_or(DES3_LEN);
        let template = wanted.into_template();
        self.check_may_change(is_token(&template))?;
        let info = self.slot.client.key_generate_secret(kind.key_type(), length, &template, &[])?;
        self.keep(login, info)
    }

    /// Makes a pair: the public key's handle, and the private key's.
    pub(crate) fn generate_key_pair(
        &self,
        mechanism: &Mechanism,
        public: &[Given],
        private: &[Given],
    ) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE), Failure> {
        let key_type = pair_type(mechanism.number()).ok_or_else(no_generation)?;
        let login = self.login()?;
        let is_edwards = mechanism.number() == CKM_EC_EDWARDS_KEY_PAIR_GEN;
        let pair = read_pair(key_type, is_edwards, public, private)?;
        let (public_stays, private_stays) = (is_token(&pair.public), is_token(&pair.private));
        self.check_may_change(public_stays || private_stays)?;
        if public_stays != private_stays {
            return self.generate_split_pair(login, pair, public_stays);
        }
        let (public, private) =
            self.slot.client.key_generate_pair(&pair.algorithm, &pair.public, &pair.private, &[])?;
        self.keep_pair(login, public, private)
    }

    /// Keeps both keys, or neither when the session was closed or the login is over.
    fn keep_pair(
        &self,
        login: u64,
        public: KeyInfo,
        private: KeyInfo,
    ) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE), Failure> {
        let halves = [&public, &private].map(|info| (info.reference, info.attributes.flags.has(Flag::Token)));
        let (public, private) = (self.keep(login, public), self.keep(login, private));
        if public.is_ok() != private.is_ok() {
            for (kept, (reference, is_token)) in [&public, &private].into_iter().zip(halves) {
                if let Ok(handle) = *kept {
                    self.slot.objects.forget_key(Entry { handle, reference });
                    self.discard(reference, is_token);
                }
            }
        }
        Ok((public?, private?))
    }

    /// Makes a pair of which one half outlives the session: the HSMs make both for the session, and keep a copy of that half.
    fn generate_split_pair(
        &self,
        login: u64,
        mut pair: Pair,
        public_stays: bool,
    ) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE), Failure> {
        let client = &self.slot.client;
        let of_session = (AttributeName::Flag(Flag::Token), AttributeValue::Bool(false));
        for template in [&mut pair.public, &mut pair.private] {
            template.retain(|(name, _)| *name != of_session.0);
            template.push(of_session.clone());
        }
        let (public, private) = client.key_generate_pair(&pair.algorithm, &pair.public, &pair.private, &[])?;
        let (staying, leaving) = if public_stays { (&public, &private) } else { (&private, &public) };
        let token = (AttributeName::Flag(Flag::Token), AttributeValue::Bool(true));
        let copied = client.key_copy(staying.reference, &vec![token]);
        // The copy is the key that was asked for.
        client.end_session_keys(&[staying.reference]);
        match copied {
            Ok(copy) if public_stays => self.keep_pair(login, copy, private),
            Ok(copy) => self.keep_pair(login, public, copy),
            Err(error) => {
                client.end_session_keys(&[leaving.reference]);
                Err(error.into())
            }
        }
    }
}

/// A pair to be made.
struct Pair {
    algorithm: PairAlgorithm,
    public: Template,
    private: Template,
}

/// The kind of key that a mechanism of `C_GenerateKey` makes.
fn secret_kind(mechanism: CK_MECHANISM_TYPE) -> Option<Kind> {
    match mechanism {
        CKM_AES_KEY_GEN => Some(Kind::Aes),
        CKM_DES3_KEY_GEN => Some(Kind::Des3),
        CKM_GENERIC_SECRET_KEY_GEN => Some(Kind::Generic),
        _ => None,
    }
}

/// The type of the keys that a mechanism of `C_GenerateKeyPair` makes.
fn pair_type(mechanism: CK_MECHANISM_TYPE) -> Option<KeyType> {
    match mechanism {
        CKM_RSA_PKCS_KEY_PAIR_GEN | CKM_RSA_X9_31_KEY_PAIR_GEN => Some(KeyType::Rsa),
        CKM_EC_KEY_PAIR_GEN | CKM_EC_EDWARDS_KEY_PAIR_GEN => Some(KeyType::Ec),
        CKM_CLOUDHSM_ML_DSA_KEY_PAIR_GEN => Some(KeyType::MlDsa),
        _ => None,
    }
}

/// Reads both templates; of a pair that must be one of an Edwards curve, if `is_edwards`.
fn read_pair(key_type: KeyType, is_edwards: bool, public: &[Given], private: &[Given]) -> Result<Pair, Failure> {
    let kind = |class| Kind::of(class, key_type).ok_or_else(no_generation);
    let wanted_public = templates::read(Call::GenerateKeyPair, kind(KeyClass::PublicKey)?, public)?;
    let wanted_private = templates::read(Call::GenerateKeyPair, kind(KeyClass::PrivateKey)?, private)?;
    let algorithm = match key_type {
        KeyType::Rsa => rsa(&wanted_public)?,
        KeyType::MlDsa => PairAlgorithm::MlDsa(parameter_set(&wanted_public, &wanted_private)?),
        _ => {
            let is_edwards = is_edwards || templates::is_edwards(public)? || templates::is_edwards(private)?;
            PairAlgorithm::Ec(values::named_curve(wanted_public.needed(CKA_EC_PARAMS)?.expose(), is_edwards)?)
        }
    };
    Ok(Pair { algorithm, public: wanted_public.into_template(), private: wanted_private.into_template() })
}

fn rsa(wanted: &Wanted<'_>) -> Result<PairAlgorithm, Failure> {
    let modulus_bits = values::small_number(CKA_MODULUS_BITS, wanted.needed(CKA_MODULUS_BITS)?.expose())?;
    let exponent = wanted.needed(CKA_PUBLIC_EXPONENT)?.expose();
    let public_exponent = values::big_number(CKA_PUBLIC_EXPONENT, exponent)?.to_vec();
    Ok(PairAlgorithm::Rsa { modulus_bits, public_exponent })
}

/// Either template says it, or both the same.
fn parameter_set(public: &Wanted<'_>, private: &Wanted<'_>) -> Result<MlDsaAlgorithm, Failure> {
    const NAME: CK_ATTRIBUTE_TYPE = CKA_CLOUDHSM_PARAMETER_SET;
    let number = |wanted: &Wanted<'_>| wanted.bytes(NAME).map(|bytes| values::number(NAME, bytes.expose())).transpose();
    let number = match (number(public)?, number(private)?) {
        (Some(one), Some(other)) if one != other => {
            return Err(inconsistent(NAME, "the templates name two parameter sets"));
        }
        (Some(number), _) | (None, Some(number)) => number,
        (None, None) => return Err(templates::incomplete(NAME)),
    };
    values::parameter_set(number).ok_or(invalid(NAME, "there is no such parameter set"))
}

fn no_generation() -> Failure {
    Failure::call(CKR_MECHANISM_INVALID, "the mechanism does not make such keys")
}

/// Whether a template asks for a key that outlives the session.
pub(super) fn is_token(template: &Template) -> bool {
    template.contains(&(AttributeName::Flag(Flag::Token), AttributeValue::Bool(true)))
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Curve, Secret};

    use super::*;
    use crate::attribute::Value;
    use crate::mechanism::TABLE;

    #[test]
    fn every_mechanism_that_is_said_to_make_keys_makes_some() {
        for row in TABLE {
            let makes = |function| row.functions & function != 0;
            assert_eq!(secret_kind(row.number).is_some(), makes(CKF_GENERATE), "{}", row.name);
            assert_eq!(pair_type(row.number).is_some(), makes(CKF_GENERATE_KEY_PAIR), "{}", row.name);
        }
    }

    #[test]
    fn the_mechanism_of_edwards_curves_makes_no_other_keys() {
        let algorithm = |curve, is_edwards| {
            let value = Value::Bytes(Secret::from(values::params(curve).as_slice()));
            let pair = read_pair(KeyType::Ec, is_edwards, &[Given { kind: CKA_EC_PARAMS, value }], &[]);
            pair.map(|pair| pair.algorithm).map_err(|failure| failure.rv())
        };
        assert!(matches!(algorithm(Curve::Ed25519, true), Ok(PairAlgorithm::Ec(Curve::Ed25519))));
        assert!(matches!(algorithm(Curve::Ed25519, false), Ok(PairAlgorithm::Ec(Curve::Ed25519))));
        assert!(matches!(algorithm(Curve::P256, true), Err(CKR_TEMPLATE_INCONSISTENT)));
    }
}
