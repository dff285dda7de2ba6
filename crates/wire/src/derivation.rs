use strongroom_types::limits::{DATA_LEN_MAX, KDF_FIELDS_MAX};
use strongroom_types::{Derivation, EcdhKdf, HashFunction, KdfField, Prf};

use crate::convert::{Malformed, hash};
use crate::v1;
use crate::v1::kdf_field::Field;
use crate::v1::key_derive::Derivation as Message;

/// How a message asks for a derivation. Whether keys and lengths fit it is for the rules to say.
pub fn derivation(message: Option<&Message>) -> Result<Derivation, Malformed> {
    match message.ok_or(Malformed { field: "derivation" })? {
        Message::Ecdh(message) => ecdh(message),
        Message::CounterKdf(v1::CounterKdf { prf: number, fields }) => {
            if fields.len() > KDF_FIELDS_MAX {
                return Err(Malformed { field: "fields" });
            }
            let prf = prf(*number)?;
            Ok(Derivation::CounterKdf { prf, fields: fields.iter().map(field).collect::<Result<_, _>>()? })
        }
    }
}

/// The message for a derivation.
pub fn derivation_message(derivation: &Derivation) -> Message {
    match derivation {
        Derivation::Ecdh { peer_point, kdf } => {
            let (kdf, hash, shared_info) = match kdf {
                EcdhKdf::None => (v1::EcdhKdf::None, v1::HashFunction::Unspecified, Vec::new()),
                EcdhKdf::X963 { hash, shared_info } => (v1::EcdhKdf::X963, (*hash).into(), shared_info.clone()),
            };
            let (peer_point, kdf, hash) = (peer_point.clone(), kdf.into(), hash.into());
            Message::Ecdh(v1::Ecdh { peer_point, kdf, hash, shared_info })
        }
        Derivation::CounterKdf { prf, fields } => {
            let fields = fields.iter().map(field_message).collect();
            Message::CounterKdf(v1::CounterKdf { prf: prf_number(*prf).into(), fields })
        }
    }
}

/// Fields that the function has no use for must be empty, so that one meaning has one form.
fn ecdh(message: &v1::Ecdh) -> Result<Derivation, Malformed> {
    let v1::Ecdh { peer_point, kdf, hash: number, shared_info } = message;
    let unknown = Malformed { field: "mechanism" };
    let kdf = match v1::EcdhKdf::try_from(*kdf).map_err(|_| unknown)? {
        v1::EcdhKdf::Unspecified => return Err(unknown),
        v1::EcdhKdf::None if *number == 0 && shared_info.is_empty() => EcdhKdf::None,
        v1::EcdhKdf::None => return Err(Malformed { field: "parameters" }),
        v1::EcdhKdf::X963 if shared_info.len() > DATA_LEN_MAX => return Err(Malformed { field: "shared_info" }),
        v1::EcdhKdf::X963 => EcdhKdf::X963 { hash: hash(*number)?, shared_info: shared_info.clone() },
    };
    Ok(Derivation::Ecdh { peer_point: peer_point.clone(), kdf })
}

/// A width that no byte holds is one that no field has.
fn field(message: &v1::KdfField) -> Result<KdfField, Malformed> {
    let width = |bits: u32| u8::try_from(bits).map_err(|_| Malformed { field: "fields" });
    match message.field.as_ref().ok_or(Malformed { field: "fields" })? {
        Field::Octets(bytes) => Ok(KdfField::Bytes(bytes.clone())),
        Field::CounterBits(bits) => Ok(KdfField::Counter { bits: width(*bits)? }),
        Field::LengthBits(bits) => Ok(KdfField::Length { bits: width(*bits)? }),
    }
}

fn field_message(field: &KdfField) -> v1::KdfField {
    let field = match field {
        KdfField::Bytes(bytes) => Field::Octets(bytes.clone()),
        KdfField::Counter { bits } => Field::CounterBits(u32::from(*bits)),
        KdfField::Length { bits } => Field::LengthBits(u32::from(*bits)),
    };
    v1::KdfField { field: Some(field) }
}

fn prf(number: i32) -> Result<Prf, Malformed> {
    let known = Prf::ALL.into_iter().find(|prf| i32::from(prf_number(*prf)) == number);
    known.ok_or(Malformed { field: "mechanism" })
}

fn prf_number(prf: Prf) -> v1::Prf {
    match prf {
        Prf::AesCmac => v1::Prf::AesCmac,
        Prf::Hmac(HashFunction::Sha1) => v1::Prf::HmacSha1,
        Prf::Hmac(HashFunction::Sha224) => v1::Prf::HmacSha224,
        Prf::Hmac(HashFunction::Sha256) => v1::Prf::HmacSha256,
        Prf::Hmac(HashFunction::Sha384) => v1::Prf::HmacSha384,
        Prf::Hmac(HashFunction::Sha512) => v1::Prf::HmacSha512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x963(shared_info: Vec<u8>) -> Derivation {
        let kdf = EcdhKdf::X963 { hash: HashFunction::Sha384, shared_info };
        Derivation::Ecdh { peer_point: vec![4; 65], kdf }
    }

    fn counter_kdf(prf: Prf, fields: Vec<KdfField>) -> Derivation {
        Derivation::CounterKdf { prf, fields }
    }

    fn read(derivation: &Derivation) -> Result<Derivation, Malformed> {
        super::derivation(Some(&derivation_message(derivation)))
    }

    #[test]
    fn derivations_read_back() {
        let fields =
            || vec![KdfField::Bytes(vec![1, 2]), KdfField::Counter { bits: 16 }, KdfField::Length { bits: 64 }];
        let of_prf = Prf::ALL.map(|prf| counter_kdf(prf, fields()));
        let without_kdf = Derivation::Ecdh { peer_point: vec![4; 57], kdf: EcdhKdf::None };
        for derivation in of_prf.into_iter().chain([x963(vec![7; 9]), x963(Vec::new()), without_kdf]) {
            assert_eq!(read(&derivation), Ok(derivation));
        }
        assert_eq!(derivation(None), Err(Malformed { field: "derivation" }));
    }

    #[test]
    fn lists_and_bytes_at_and_above_their_limits() {
        let of_fields = |len| counter_kdf(Prf::AesCmac, vec![KdfField::Counter { bits: 8 }; len]);
        assert!(read(&of_fields(KDF_FIELDS_MAX)).is_ok());
        assert_eq!(read(&of_fields(KDF_FIELDS_MAX + 1)), Err(Malformed { field: "fields" }));
        assert!(read(&x963(vec![1; DATA_LEN_MAX])).is_ok());
        assert_eq!(read(&x963(vec![1; DATA_LEN_MAX + 1])), Err(Malformed { field: "shared_info" }));
    }

    #[test]
    fn what_a_function_has_no_use_for_is_not_there() {
        let check = |change: fn(&mut v1::Ecdh), field| {
            let mut message = v1::Ecdh { peer_point: vec![4; 65], kdf: 1, hash: 0, shared_info: Vec::new() };
            change(&mut message);
            assert_eq!(derivation(Some(&Message::Ecdh(message))), Err(Malformed { field }));
        };
        check(|message| message.kdf = 0, "mechanism");
        check(|message| message.kdf = 9, "mechanism");
        check(|message| message.hash = 3, "parameters");
        check(|message| message.shared_info = vec![1], "parameters");
        check(|message| message.kdf = 2, "hash");
        let counter = |prf, fields| derivation(Some(&Message::CounterKdf(v1::CounterKdf { prf, fields })));
        assert_eq!(counter(0, vec![]), Err(Malformed { field: "mechanism" }));
        assert_eq!(counter(7, vec![]), Err(Malformed { field: "mechanism" }));
        let field = |field| vec![v1::KdfField { field }];
        assert_eq!(counter(1, field(None)), Err(Malformed { field: "fields" }));
        assert_eq!(counter(1, field(Some(Field::CounterBits(256)))), Err(Malformed { field: "fields" }));
        assert_eq!(counter(1, field(Some(Field::LengthBits(u32::MAX)))), Err(Malformed { field: "fields" }));
    }
}
