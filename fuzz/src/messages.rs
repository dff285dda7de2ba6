//! Frames, requests and responses.

use strongroom_client::{ApplianceState, ClusterInfo, FoundAll, FoundKeys, Hello, UserInfo};
use strongroom_core::Replica;
use strongroom_types::limits::{
    CERTIFICATE_LEN_MAX, FRAME_LEN_MAX_BEFORE_LOGIN, HSMS_MAX, SESSION_KEYS_IN_REQUEST_MAX,
};
use strongroom_types::{CertificateTemplate, Curve, KeyReference};
use strongroom_wire::v1::request::Operation;
use strongroom_wire::v1::response::Result as Outcome;
use strongroom_wire::{
    KeyInfo, WholeCertificate, Wrapping, cipher, convert, derivation, derivation_message, frame, v1,
};

/// The target.
pub fn run(data: &[u8]) {
    if let Some((prefix, content)) = data.split_first_chunk() {
        if let Ok(len) = frame::body_len(*prefix, FRAME_LEN_MAX_BEFORE_LOGIN) {
            assert!((1..=FRAME_LEN_MAX_BEFORE_LOGIN).contains(&len));
            assert_eq!(prefix, &u32::try_from(len).unwrap().to_be_bytes());
        }
        if let Ok(request) = frame::decode_request(content) {
            request_read(request);
        }
    }
    if let Ok(response) = frame::decode_response(data) {
        let mut again = Vec::new();
        frame::encode(&response, &mut again).unwrap();
        assert_eq!(frame::decode_response(&again[frame::PREFIX_LEN..]).as_ref(), Ok(&response));
        let _ = format!("{response:?}");
        match response.result {
            Some(Outcome::KeyGenerateSecret(key)) => key_read(key),
            Some(Outcome::KeyGeneratePair(pair)) => {
                pair.public_key.into_iter().chain(pair.private_key).for_each(key_read)
            }
            Some(Outcome::KeyFind(found)) => {
                let len = found.keys.len();
                if let Ok(found) = FoundKeys::try_from(found.clone()) {
                    assert_eq!(found.keys.len(), len);
                }
                if let Ok(all) = FoundAll::try_from(found.clone()) {
                    assert_eq!((all.references.len(), all.keys.len()), (found.references.len(), len));
                }
                found.keys.into_iter().for_each(key_read);
            }
            Some(Outcome::CertificateGet(certificate) | Outcome::CertificateCreate(certificate)) => {
                certificate_read(certificate);
            }
            Some(Outcome::CertificateFind(found)) => found.certificates.into_iter().for_each(certificate_read),
            Some(Outcome::Hello(hello)) => {
                if let Ok(hello) = Hello::try_from(hello) {
                    assert!(hello.members.len() <= HSMS_MAX);
                }
            }
            Some(Outcome::ClusterInfo(info)) => drop(ClusterInfo::try_from(info)),
            Some(Outcome::UserList(list)) => list.users.into_iter().for_each(|user| drop(UserInfo::try_from(user))),
            Some(Outcome::ApplianceState(state)) => drop(ApplianceState::try_from(state)),
            _ => {}
        }
    }
}

fn request_read(request: v1::Request) {
    let mut again = Vec::new();
    frame::encode(&request, &mut again).unwrap();
    assert_eq!(frame::decode_request(&again[frame::PREFIX_LEN..]).as_ref(), Ok(&request));
    // Whatever a message holds may be shown: in a log, in an error.
    let _ = format!("{request:?}");
    if let Ok(keys) = strongroom_wire::session_keys(request.session_keys) {
        assert!(keys.len() <= SESSION_KEYS_IN_REQUEST_MAX);
    }
    let any_key = KeyReference::from_u64(1).unwrap();
    match request.operation {
        Some(Operation::KeySetAttribute(v1::KeySetAttribute { attribute: Some(attribute), .. })) => {
            let Some(v1::attribute::Value::Template(inner)) = attribute.value else { return };
            assert!(inner.attributes.len() < frame::REQUEST_FIELDS_MAX);
            let is_template = |one: &v1::Attribute| matches!(one.value, Some(v1::attribute::Value::Template(_)));
            assert!(!inner.attributes.iter().any(is_template));
        }
        Some(Operation::Sign(sign)) => {
            if let Ok(mechanism) = convert::sign_mechanism(sign.mechanism, sign.hash, sign.salt_length) {
                let (number, hash, salt) = convert::sign_parts(mechanism);
                assert_eq!(convert::sign_mechanism(number, hash, salt), Ok(mechanism));
            }
            if let Ok(Some(mechanism)) = convert::mac_mechanism(sign.mechanism, sign.hash, sign.salt_length) {
                assert_eq!(convert::mac_parts(mechanism), (sign.mechanism, sign.hash));
            }
        }
        Some(Operation::KeyReplicate(v1::KeyReplicate { replica: Some(replica) })) => {
            if let Ok(header) = Replica::decode(&replica.header) {
                assert_eq!(header.encode(), replica.header);
            }
        }
        Some(Operation::KeyWrap(v1::KeyWrap { wrapping: Some(wrapping), .. }))
        | Some(Operation::KeyUnwrap(v1::KeyUnwrap { wrapping: Some(wrapping), .. })) => {
            if let Ok(read) = Wrapping::try_from(&wrapping) {
                assert_eq!(v1::Wrapping::from(&read), wrapping);
            }
        }
        Some(Operation::KeyDerive(message)) => {
            if let Ok(read) = derivation(message.derivation.as_ref()) {
                assert_eq!(Some(derivation_message(&read)), message.derivation);
                let curves = Curve::ALL.iter().copied().map(Some).chain([None]);
                let len = message.length_bytes as usize;
                curves.for_each(|curve| _ = read.check(len, curve));
            }
        }
        Some(Operation::Encrypt(encrypt)) => {
            if let Ok(mechanism) = cipher::encrypt_mechanism(&mut encrypt.clone()) {
                let again = cipher::encrypt_message(any_key, &mechanism, &encrypt.data);
                assert_eq!(v1::Encrypt { key: encrypt.key, ..again }, encrypt);
            }
        }
        Some(Operation::CertificateCreate(create)) => {
            if let Ok(template) = CertificateTemplate::try_from(create)
                && template.check().is_ok()
            {
                assert!(template.value.starts_with(&[0x30]) && template.value.len() <= CERTIFICATE_LEN_MAX);
                let again = CertificateTemplate::try_from(v1::CertificateCreate::from(template.clone()));
                assert_eq!(again, Ok(template));
            }
        }
        Some(Operation::Decrypt(decrypt)) => {
            if let Ok(mechanism) = cipher::decrypt_mechanism(&mut decrypt.clone()) {
                let again = cipher::decrypt_message(any_key, &mechanism, &decrypt.data);
                assert_eq!(v1::Decrypt { key: decrypt.key, ..again }, decrypt);
            }
        }
        _ => {}
    }
}

fn certificate_read(certificate: v1::Certificate) {
    if let Ok(whole) = WholeCertificate::try_from(certificate) {
        whole.info.attributes.check().expect("what an answer says of a certificate is within its bounds");
        assert_eq!(WholeCertificate::try_from(v1::Certificate::from(whole.clone())), Ok(whole));
    }
}

fn key_read(key: v1::Key) {
    if let Ok(info) = KeyInfo::try_from(key) {
        assert_eq!(KeyInfo::try_from(v1::Key::from(info.clone())), Ok(info));
    }
}

/// To begin with: a request and a response of each kind, behind their length where requests stand.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for operation in crate::samples::operations() {
        let mut bytes = Vec::new();
        frame::encode(&crate::samples::request(operation), &mut bytes).unwrap();
        seeds.push(bytes);
    }
    for outcome in crate::samples::outcomes() {
        let mut bytes = Vec::new();
        frame::encode(&crate::samples::response(outcome), &mut bytes).unwrap();
        seeds.push(bytes.split_off(frame::PREFIX_LEN));
    }
    for operation in overfull() {
        let mut bytes = Vec::new();
        frame::encode(&crate::samples::request(operation), &mut bytes).unwrap();
        assert!(frame::decode_request(&bytes[frame::PREFIX_LEN..]).is_err());
        seeds.push(bytes);
    }
    seeds
}

/// Operations with lists that are longer or deeper than any that may come.
fn overfull() -> [Operation; 4] {
    let elements = frame::REQUEST_FIELDS_MAX;
    let template = |attributes| {
        let value = Some(v1::attribute::Value::Template(v1::AttributeList { attributes }));
        v1::Attribute { value, ..v1::Attribute::default() }
    };
    let long = template(vec![v1::Attribute::default(); elements]);
    let deep = template(vec![template(vec![template(Vec::new())])]);
    let counter_kdf = v1::CounterKdf { fields: vec![v1::KdfField::default(); elements], ..Default::default() };
    let derivation = Some(v1::key_derive::Derivation::CounterKdf(counter_kdf));
    [
        Operation::KeySetAttribute(v1::KeySetAttribute { attribute: Some(long.clone()), ..Default::default() }),
        Operation::KeyGenerateSecret(v1::KeyGenerateSecret { template: vec![long], ..Default::default() }),
        Operation::KeySetAttribute(v1::KeySetAttribute { attribute: Some(deep), ..Default::default() }),
        Operation::KeyDerive(v1::KeyDerive { derivation, ..Default::default() }),
    ]
}
