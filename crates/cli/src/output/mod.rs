//! The shapes that commands print. Field order is part of them.

mod key;

use serde_json::{Map, Value, json};
use strongroom_client::{ClusterInfo, HsmInfo, LoggedIn, TokenInfo, TrustAnchorInfo, UserInfo};
use strongroom_types::{ClusterMode, Role};

pub use key::{Detail, found, hex, key, pair, replicated_key};

use crate::error::ExpectedError;

/// The object that every command prints, and a line's end.
pub fn envelope(outcome: Result<Value, ExpectedError>) -> String {
    let (code, data) = match outcome {
        Ok(data) => (0, data),
        Err(error) => (1, Value::String(error.to_string())),
    };
    let envelope = json!({ "error_code": code, "data": data });
    serde_json::to_string_pretty(&envelope).expect("a JSON value can be written") + "\n"
}

/// `{"message": …}`.
pub fn message(text: &str) -> Value {
    json!({ "message": text })
}

/// Whoever a command was about.
pub fn user(user: &UserInfo) -> Value {
    json!({ "username": user.name.as_str(), "role": user.role.as_str() })
}

/// Who logged in.
pub fn login(login: &LoggedIn) -> Value {
    json!({ "username": login.user_name.as_str(), "role": login.role.as_str() })
}

/// How `user list` says that something is enabled: by an entry.
fn enabled(is_enabled: bool) -> Value {
    if is_enabled { json!([{ "strategy": "token-sign", "status": "enabled" }]) } else { json!([]) }
}

/// `user list`.
pub fn users(users: &[UserInfo]) -> Value {
    json!({ "users": users.iter().map(listed_user).collect::<Vec<_>>() })
}

/// `user replicate`.
pub fn replicated_user(user: &UserInfo) -> Value {
    json!({ "user": listed_user(user), "message": "Successfully replicated user" })
}

/// A user with the six fields of a list.
fn listed_user(user: &UserInfo) -> Value {
    json!({
        "username": user.name.as_str(),
        "role": user.role.as_str(),
        "locked": if user.locked { "true" } else { "false" },
        "mfa": enabled(user.mfa),
        "quorum": enabled(user.quorum),
        "cluster-coverage": "full",
    })
}

/// `quorum token-sign list`. Numbers are plain; the guide's other pages wrap each as `{"value": 2}`.
pub fn tokens(tokens: &[TokenInfo]) -> Value {
    let token = |token: &TokenInfo| {
        let (user, service) = (token.user.as_str(), token.subject.service.as_str());
        match token.subject.key {
            Some(key) => json!({
                "username": user,
                "service": service,
                "key-reference": key.to_string(),
                "minimum-token-count": token.count,
            }),
            None => json!({
                "username": user,
                "service": service,
                "approvals-required": token.approvals_required,
                "number-of-approvals": 0,
                "token-timeout-seconds": token.seconds,
                "cluster-coverage": "full",
            }),
        }
    };
    json!({ "tokens": tokens.iter().map(token).collect::<Vec<_>>() })
}

/// `cluster hsm-info`.
pub fn hsms(cluster: &ClusterInfo) -> Value {
    let fips = match cluster.mode {
        ClusterMode::Fips => "2 [FIPS mode with single factor authentication]",
        ClusterMode::NonFips => "0 [non-FIPS mode with single factor authentication]",
    };
    let hsm = |hsm: &HsmInfo| {
        json!({
            "vendor": hsm.vendor,
            "model": hsm.model,
            "serial-number": hsm.serial_number,
            "hardware-version-major": hsm.hardware_major.to_string(),
            "hardware-version-minor": hsm.hardware_minor.to_string(),
            "firmware-version-major": hsm.firmware_major.to_string(),
            "firmware-version-minor": hsm.firmware_minor.to_string(),
            "firmware-build-number": hsm.firmware_build.to_string(),
            "firmware-id": hsm.firmware_id,
            "fips-state": fips,
        })
    };
    json!({ "hsms": cluster.hsms.iter().map(hsm).collect::<Vec<_>>() })
}

/// One trust anchor of `cluster mtls`.
pub fn trust_anchor(anchor: &TrustAnchorInfo) -> Value {
    json!({
        "certificate-reference": anchor.reference.to_string(),
        "certificate": anchor.chain_pem,
        "cluster-coverage": "full",
    })
}

/// Whether everything about keys may be shown to this role.
pub fn shows_keys(role: Option<Role>) -> bool {
    role != Some(Role::Admin)
}

/// An object of these fields.
fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<String, Value>>())
}

#[cfg(test)]
mod tests {
    use strongroom_types::{ClusterId, ClusterState, HsmId, HsmType, Status};

    use super::*;

    #[test]
    fn an_envelope_has_code_then_data() {
        assert_eq!(envelope(Ok(json!("done"))), "{\n  \"error_code\": 0,\n  \"data\": \"done\"\n}\n");
        let refused = strongroom_client::ClientError::Refused(Status::UserLocked.into());
        let text = envelope(Err(refused.into()));
        assert!(text.starts_with("{\n  \"error_code\": 1,\n  \"data\": \"the user is locked"), "{text}");
    }

    #[test]
    fn users_have_the_guides_fields() {
        let user =
            UserInfo { name: "ana".parse().unwrap(), role: Role::CryptoUser, locked: true, mfa: true, quorum: false };
        let expected = r#"{"users":[{"username":"ana","role":"crypto-user","locked":"true","mfa":[{"strategy":"token-sign","status":"enabled"}],"quorum":[],"cluster-coverage":"full"}]}"#;
        assert_eq!(users(&[user]).to_string(), expected);
    }

    #[test]
    fn hsms_have_the_guides_fields_and_numbers_are_texts() {
        let hsm = HsmInfo {
            hsm_id: HsmId::from_random([1; 7]),
            serial_number: "SR1".into(),
            vendor: "V".into(),
            model: "M".into(),
            hardware_major: 1,
            hardware_minor: 2,
            firmware_major: 3,
            firmware_minor: 4,
            firmware_build: 5,
            firmware_id: "F".into(),
            serving: true,
        };
        let cluster = ClusterInfo {
            cluster_id: ClusterId::from_random([1; 7]),
            hsm_type: HsmType::Hsm2mMedium,
            mode: ClusterMode::Fips,
            state: ClusterState::Active,
            hsms: vec![hsm],
        };
        let expected = concat!(
            r#"{"hsms":[{"vendor":"V","model":"M","serial-number":"SR1","hardware-version-major":"1","#,
            r#""hardware-version-minor":"2","firmware-version-major":"3","firmware-version-minor":"4","#,
            r#""firmware-build-number":"5","firmware-id":"F","#,
            r#""fips-state":"2 [FIPS mode with single factor authentication]"}]}"#
        );
        assert_eq!(hsms(&cluster).to_string(), expected);
    }
}
