//! `Debug` of messages that carry a password, a ticket or clear data: what they are, without what they hold.

use std::fmt::{Debug, Formatter, Result};

use crate::v1;

macro_rules! without_content {
    ($($message:ident),* $(,)?) => {
        $(impl Debug for v1::$message {
            fn fmt(&self, f: &mut Formatter<'_>) -> Result {
                f.write_str(concat!(stringify!($message), "(content not shown)"))
            }
        })*
    };
}

without_content!(
    Activate,
    Attach,
    Decrypt,
    DecryptResult,
    KeyImport,
    KeyReadValueResult,
    Encrypt,
    EncryptResult,
    Login,
    LoginChallenge,
    LoginResult,
    RandomResult,
    Sign,
    SignResult,
    UserChangeMfa,
    UserChangePassword,
    UserCreate,
    Verify,
);

impl Debug for v1::Request {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Request").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Debug for v1::Response {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Response").field("id", &self.id).field("status", &self.status).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let login =
            v1::Login { user_name: "alice".into(), role: 2, password: b"hunter22".to_vec(), ..v1::Login::default() };
        assert_eq!(format!("{login:?}"), "Login(content not shown)");
        let request =
            v1::Request { id: 3, operation: Some(v1::request::Operation::Login(login)), ..v1::Request::default() };
        assert_eq!(format!("{request:?}"), "Request { id: 3, .. }");
        // Ciphertext is decrypted where it lies, and in counter mode encrypting is decrypting.
        let data = b"hunter22".to_vec();
        let decrypt = v1::Decrypt { data: data.clone(), ..v1::Decrypt::default() };
        assert_eq!(format!("{decrypt:?}"), "Decrypt(content not shown)");
        let sign = v1::Sign { data: data.clone(), ..v1::Sign::default() };
        assert_eq!(format!("{sign:?}"), "Sign(content not shown)");
        let verify = v1::Verify { data: data.clone(), ..v1::Verify::default() };
        assert_eq!(format!("{verify:?}"), "Verify(content not shown)");
        let encrypted = v1::EncryptResult { data, ..v1::EncryptResult::default() };
        assert_eq!(format!("{encrypted:?}"), "EncryptResult(content not shown)");
    }
}
