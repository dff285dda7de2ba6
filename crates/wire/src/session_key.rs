use strongroom_types::KeyReference;
use strongroom_types::limits::{SESSION_KEY_LEN_MAX, SESSION_KEYS_IN_REQUEST_MAX};

use crate::convert::Malformed;
use crate::v1;

/// A session key as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSessionKey {
    /// Its reference.
    pub reference: KeyReference,
    /// The sealed bytes, or empty.
    pub sealed: Vec<u8>,
}

/// The session keys of a request; at most [`SESSION_KEYS_IN_REQUEST_MAX`].
pub fn session_keys(messages: Vec<v1::SessionKey>) -> Result<Vec<NamedSessionKey>, Malformed> {
    let malformed = Malformed { field: "session_keys" };
    if messages.len() > SESSION_KEYS_IN_REQUEST_MAX {
        return Err(malformed);
    }
    let named = |message: v1::SessionKey| {
        let reference = KeyReference::from_u64(message.reference).ok_or(malformed)?;
        let fits = message.sealed.len() <= SESSION_KEY_LEN_MAX;
        if fits { Ok(NamedSessionKey { reference, sealed: message.sealed }) } else { Err(malformed) }
    };
    messages.into_iter().map(named).collect()
}

impl From<NamedSessionKey> for v1::SessionKey {
    fn from(key: NamedSessionKey) -> v1::SessionKey {
        v1::SessionKey { reference: key.reference.as_u64(), sealed: key.sealed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_keys_read_back_within_their_limits() {
        let key =
            |number, len| NamedSessionKey { reference: KeyReference::from_u64(number).unwrap(), sealed: vec![7; len] };
        for keys in [vec![], vec![key(5, 0)], vec![key(1, SESSION_KEY_LEN_MAX); SESSION_KEYS_IN_REQUEST_MAX]] {
            let messages = keys.iter().cloned().map(v1::SessionKey::from).collect();
            assert_eq!(session_keys(messages), Ok(keys));
        }
        let malformed = Err(Malformed { field: "session_keys" });
        let many = vec![v1::SessionKey::from(key(1, 0)); SESSION_KEYS_IN_REQUEST_MAX + 1];
        assert_eq!(session_keys(many), malformed);
        assert_eq!(session_keys(vec![key(1, SESSION_KEY_LEN_MAX + 1).into()]), malformed);
        assert_eq!(session_keys(vec![v1::SessionKey::default()]), malformed);
    }
}
