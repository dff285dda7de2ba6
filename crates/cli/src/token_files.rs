//! Files of tokens: what is to be signed elsewhere, and what came back signed. Shapes are the guide's; what is read is bounded
//! and checked, because it comes from other people.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use strongroom_client::{ApprovalInfo, ApprovalSignature};
use strongroom_crypto::digest::digest;
use strongroom_types::limits::APPROVAL_SIGNATURES_MAX;
use strongroom_types::{HashFunction, KeyReference, QuorumService, QuorumSubject, Role, TokenKey, UserName};
use thiserror::Error;

/// Bytes of a token file: sixteen signatures in base64 and names take a tenth of it.
pub const LEN_MAX: u64 = 64 * 1024;
/// Bytes of approval data: one record, for the cluster answers as one.
const APPROVAL_DATA_LEN: usize = 80;
/// The format of every file.
const VERSION: &str = "2.0";

/// What is wrong with a token file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenFileError {
    /// Not JSON.
    #[error("it is not JSON: {0}")]
    Json(String),
    /// A field is missing, or of another kind.
    #[error("{field} is missing or is not {expected}")]
    Field {
        /// Its place.
        field: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Nobody has signed it.
    #[error("nobody has signed it yet: put the base64 of the signature into {0:?}")]
    Unsigned(&'static str),
    /// Another file than the one that was written.
    #[error("it is not the file that was written a moment ago: sign the tokens of that one")]
    Another,
    /// The token is not the digest of the data.
    #[error("its token is not the SHA-256 of its approval_data; it was changed, and nobody should sign it")]
    Altered,
}

/// A new file for users to approve.
pub fn approval(subject: QuorumSubject, approval_data: &[u8]) -> String {
    let mut fields = vec![("version", json!(VERSION)), ("service", json!(file_service(subject.service)))];
    fields.extend(subject.key.map(|key: KeyReference| ("key_reference", json!(key.to_string()))));
    fields.extend([
        ("approval_data", json!(STANDARD.encode(approval_data))),
        ("token", json!(STANDARD.encode(digest(HashFunction::Sha256, approval_data)))),
        ("signatures", json!([])),
    ]);
    written(&fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into())
}

/// A new file for registering a key.
pub fn registration(approval_data: &[u8]) -> String {
    let unsigned = STANDARD.encode(digest(HashFunction::Sha256, approval_data));
    let token = json!({ "approval_data": STANDARD.encode(approval_data), "unsigned": unsigned, "signed": "" });
    written(&json!({ "version": VERSION, "tokens": [token] }))
}

/// A new file with something to sign beside a password.
pub fn challenge(digest: &[u8]) -> String {
    let token = json!({ "unsigned": STANDARD.encode(digest), "signed": "" });
    written(&json!({ "version": VERSION, "tokens": [token] }))
}

/// The approvals in a file. Samples of older versions name neither the service nor roles: the data does.
pub fn read_approval(bytes: &[u8]) -> Result<ApprovalInfo, TokenFileError> {
    let file = json_of(bytes)?;
    let approval_data = octets(&file, "approval_data", APPROVAL_DATA_LEN)?;
    if file.get("token").is_some() && octets(&file, "token", 32)? != digest(HashFunction::Sha256, &approval_data) {
        return Err(TokenFileError::Altered);
    }
    let expected = "a list of at most 16 signatures";
    let signatures = file.get("signatures").and_then(Value::as_array);
    let signatures = signatures.filter(|list| list.len() <= APPROVAL_SIGNATURES_MAX);
    let signatures = signatures.ok_or_else(|| field("signatures", expected))?;
    let role = role_of(&approval_data);
    let signatures = signatures.iter().map(|signature| read_signature(signature, role)).collect::<Result<_, _>>()?;
    Ok(ApprovalInfo { approval_data, signatures })
}

fn read_signature(signature: &Value, role: Role) -> Result<ApprovalSignature, TokenFileError> {
    let user = signature.get("username").and_then(Value::as_str).and_then(|text| text.parse::<UserName>().ok());
    let user = user.ok_or_else(|| field("username of a signature", "the name of a user"))?;
    let role = match signature.get("role") {
        None => role,
        Some(text) => {
            let named = text.as_str().and_then(|text| text.parse().ok());
            named.ok_or_else(|| field("role of a signature", "admin or crypto-user"))?
        }
    };
    let signature = octets(signature, "signature", TokenKey::SIGNATURE_LEN)?;
    Ok(ApprovalSignature { user, role, signature })
}

/// Approval data and signature of a registration file.
pub fn read_registration(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), TokenFileError> {
    let token = only_token(&json_of(bytes)?)?;
    let approval_data = octets(&token, "approval_data", APPROVAL_DATA_LEN)?;
    if octets(&token, "unsigned", 32)? != digest(HashFunction::Sha256, &approval_data) {
        return Err(TokenFileError::Altered);
    }
    Ok((approval_data, signed(&token)?))
}

/// The signature in the file that [`challenge`] wrote for this digest.
pub fn read_challenge(bytes: &[u8], digest: &[u8]) -> Result<Vec<u8>, TokenFileError> {
    let token = only_token(&json_of(bytes)?)?;
    if octets(&token, "unsigned", 32)? != digest {
        return Err(TokenFileError::Another);
    }
    signed(&token)
}

/// What a service is called in a file. The guide shows `user-management` and `key-usage`; the rest follows them.
fn file_service(service: QuorumService) -> &'static str {
    match service {
        QuorumService::User => "user-management",
        QuorumService::Quorum => "quorum-management",
        QuorumService::Cluster => "cluster-management",
        QuorumService::Registration | QuorumService::KeyUsage | QuorumService::KeyManagement => service.as_str(),
    }
}

/// Who approves what the data is for.
fn role_of(approval_data: &[u8]) -> Role {
    let number = approval_data.get(2..4).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes);
    let service = number.and_then(|number| QuorumService::from_number(number.into()));
    if service.is_some_and(QuorumService::is_of_key) { Role::CryptoUser } else { Role::Admin }
}

fn written(file: &Value) -> String {
    serde_json::to_string_pretty(file).expect("a JSON value can be written") + "\n"
}

fn json_of(bytes: &[u8]) -> Result<Value, TokenFileError> {
    serde_json::from_slice(bytes).map_err(|error| TokenFileError::Json(error.to_string()))
}

fn only_token(file: &Value) -> Result<Value, TokenFileError> {
    match file.get("tokens").and_then(Value::as_array).map(Vec::as_slice) {
        Some([token]) => Ok(token.clone()),
        _ => Err(field("tokens", "a list of one token")),
    }
}

fn signed(token: &Value) -> Result<Vec<u8>, TokenFileError> {
    if token.get("signed").and_then(Value::as_str) == Some("") {
        return Err(TokenFileError::Unsigned("signed"));
    }
    octets(token, "signed", TokenKey::SIGNATURE_LEN)
}

/// Bytes of this length in base64.
fn octets(object: &Value, name: &'static str, len: usize) -> Result<Vec<u8>, TokenFileError> {
    let expected = match len {
        32 => "the base64 of 32 bytes",
        APPROVAL_DATA_LEN => "the base64 of 80 bytes",
        _ => "the base64 of a signature of 256 bytes",
    };
    let text = object.get(name).and_then(Value::as_str);
    let bytes = text.and_then(|text| STANDARD.decode(text).ok()).filter(|bytes| bytes.len() == len);
    bytes.ok_or_else(|| field(name, expected))
}

fn field(field: impl Into<String>, expected: &'static str) -> TokenFileError {
    TokenFileError::Field { field: field.into(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(service: u8) -> Vec<u8> {
        let mut data = vec![0; APPROVAL_DATA_LEN];
        (data[1], data[3]) = (2, service);
        data
    }

    fn changed(text: &str, change: impl Fn(&mut Value)) -> Vec<u8> {
        let mut file: Value = serde_json::from_str(text).unwrap();
        change(&mut file);
        file.to_string().into_bytes()
    }

    #[test]
    fn files_have_the_guides_fields() {
        let key = KeyReference::from_u64(0x68_0006);
        let subject = QuorumSubject { service: QuorumService::KeyUsage, key };
        let file: Value = serde_json::from_str(&approval(subject, &data(5))).unwrap();
        let names: Vec<_> = file.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["version", "service", "key_reference", "approval_data", "token", "signatures"]);
        assert_eq!((&file["service"], &file["key_reference"]), (&json!("key-usage"), &json!("0x0000000000680006")));
        let subject = QuorumSubject { service: QuorumService::User, key: None };
        let file: Value = serde_json::from_str(&approval(subject, &data(3))).unwrap();
        assert_eq!((&file["service"], file.get("key_reference")), (&json!("user-management"), None));
        let file: Value = serde_json::from_str(&registration(&data(1))).unwrap();
        let names: Vec<_> = file["tokens"][0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["approval_data", "unsigned", "signed"]);
    }

    #[test]
    fn approvals_read_back_and_older_files_too() {
        let text = approval(QuorumSubject { service: QuorumService::User, key: None }, &data(3));
        let signature = STANDARD.encode([7; 256]);
        let read = |change: &dyn Fn(&mut Value)| read_approval(&changed(&text, change));
        let mut entry = json!({ "username": "Bea", "role": "admin", "signature": signature });
        let found = read(&|file| file["signatures"] = json!([entry])).unwrap();
        assert_eq!((found.approval_data, found.signatures.len()), (data(3), 1));
        assert_eq!((found.signatures[0].user.as_str(), found.signatures[0].role), ("bea", Role::Admin));
        entry.as_object_mut().unwrap().remove("role");
        let older = read(&|file| {
            file.as_object_mut().unwrap().remove("service");
            file["signatures"] = json!([entry]);
        });
        assert_eq!(older.unwrap().signatures[0].role, Role::Admin);
        let of_key =
            approval(QuorumSubject { service: QuorumService::KeyUsage, key: KeyReference::from_u64(7) }, &data(5));
        let found = read_approval(&changed(&of_key, |file| file["signatures"] = json!([entry]))).unwrap();
        assert_eq!(found.signatures[0].role, Role::CryptoUser);
        assert_eq!(read(&|_| ()).unwrap().signatures, []);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let text = approval(QuorumSubject { service: QuorumService::User, key: None }, &data(3));
        let signature = STANDARD.encode([7; 256]);
        let entry = json!({ "username": "bea", "role": "admin", "signature": signature });
        let check = |says: &str, change: &dyn Fn(&mut Value)| {
            let error = read_approval(&changed(&text, change)).unwrap_err().to_string();
            assert!(error.contains(says), "{says}: {error}");
        };
        check("approval_data", &|file| file["approval_data"] = json!("AAAA"));
        check("approval_data", &|file| drop(file.as_object_mut().unwrap().remove("approval_data")));
        check("not the SHA-256", &|file| file["token"] = json!(STANDARD.encode([1; 32])));
        check("signatures", &|file| file["signatures"] = json!({}));
        check("signatures", &|file| file["signatures"] = json!(vec![entry.clone(); APPROVAL_SIGNATURES_MAX + 1]));
        check("username", &|file| file["signatures"] = json!([{ "username": "b b", "signature": signature }]));
        check("role", &|file| file["signatures"] = json!([{ "username": "b", "role": "x", "signature": signature }]));
        check("signature is", &|file| file["signatures"] = json!([{ "username": "b", "signature": "AAAA" }]));
        assert!(read_approval(b"").is_err() && read_approval(b"[]").is_err() && read_approval(&[0xff; 9]).is_err());
        let deep = "[".repeat(100_000);
        assert!(read_approval(deep.as_bytes()).is_err());
    }

    #[test]
    fn a_challenge_is_read_from_its_own_file_once_it_is_signed() {
        let text = challenge(&[5; 32]);
        assert_eq!(read_challenge(text.as_bytes(), &[5; 32]), Err(TokenFileError::Unsigned("signed")));
        let signed = changed(&text, |file| file["tokens"][0]["signed"] = json!(STANDARD.encode([7; 256])));
        assert_eq!(read_challenge(&signed, &[5; 32]), Ok(vec![7; 256]));
        assert_eq!(read_challenge(&signed, &[6; 32]), Err(TokenFileError::Another));
        let two = changed(&text, |file| file["tokens"] = json!([{}, {}]));
        assert!(read_challenge(&two, &[5; 32]).is_err());
        let text = registration(&data(1));
        assert_eq!(read_registration(text.as_bytes()), Err(TokenFileError::Unsigned("signed")));
        let signed = changed(&text, |file| file["tokens"][0]["signed"] = json!(STANDARD.encode([7; 256])));
        assert_eq!(read_registration(&signed), Ok((data(1), vec![7; 256])));
    }
}
