use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::Secret;
use crate::limits::{PASSWORD_LEN_MAX, PASSWORD_LEN_MIN, USER_NAME_LEN_MAX};

/// What a user may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Manages users and policy; uses no keys.
    Admin,
    /// Owns and uses keys.
    CryptoUser,
    /// The first admin before activation; may only activate.
    UnactivatedAdmin,
    /// The cluster's own internal user.
    ApplianceUser,
}

/// A text that names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a role: expected admin or crypto-user")]
pub struct RoleError;

impl Role {
    /// The command line tool's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::CryptoUser => "crypto-user",
            Role::UnactivatedAdmin => "unactivated-admin",
            Role::ApplianceUser => "internal(APPLIANCE_USER)",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    /// Accepts the roles a person may log in with.
    fn from_str(text: &str) -> Result<Role, RoleError> {
        match text {
            "admin" => Ok(Role::Admin),
            "crypto-user" => Ok(Role::CryptoUser),
            _ => Err(RoleError),
        }
    }
}

/// A user's name: 1 to 31 characters of letters, digits, `_`, `-` and `.`; case-insensitive, kept in lower case.
///
/// The guide's rule names only the underscore, its samples show hyphens too; the dot comes for names that are
/// taken over from other systems.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(String);

/// Why a text is no user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// No characters.
    #[error("the user name is empty")]
    Empty,
    /// More than [`USER_NAME_LEN_MAX`].
    #[error("the user name is longer than {USER_NAME_LEN_MAX} characters")]
    TooLong,
    /// A character outside the set.
    #[error("a user name has letters, digits, '_', '-' and '.' only")]
    Character,
}

impl UserName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<UserName, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.chars().count() > USER_NAME_LEN_MAX {
            return Err(NameError::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
            return Err(NameError::Character);
        }
        Ok(UserName(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A password: 8 to 32 characters without `:` and without control characters; case-sensitive.
///
/// Logging in takes any bytes ([`Password::for_login`]); the rules hold when a password is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password(Secret);

/// Why a text may not become a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PasswordError {
    /// Fewer than [`PASSWORD_LEN_MIN`] characters.
    #[error("the password is shorter than {PASSWORD_LEN_MIN} characters")]
    TooShort,
    /// More than [`PASSWORD_LEN_MAX`] characters.
    #[error("the password is longer than {PASSWORD_LEN_MAX} characters")]
    TooLong,
    /// `:` separates name and password in `CLOUDHSM_PIN`.
    #[error("the password contains ':'")]
    Colon,
    /// A control character, or bytes that are not UTF-8.
    #[error("the password contains a control character or is not UTF-8")]
    Character,
}

impl Password {
    /// A password to be set, checked against the rules.
    pub fn new(secret: Secret) -> Result<Password, PasswordError> {
        let text = std::str::from_utf8(secret.expose()).map_err(|_| PasswordError::Character)?;
        let len = text.chars().count();
        if len < PASSWORD_LEN_MIN {
            return Err(PasswordError::TooShort);
        }
        if len > PASSWORD_LEN_MAX {
            return Err(PasswordError::TooLong);
        }
        if text.contains(':') {
            return Err(PasswordError::Colon);
        }
        if text.chars().any(char::is_control) {
            return Err(PasswordError::Character);
        }
        Ok(Password(secret))
    }

    /// A password as somebody typed it to log in: whatever it is, it is right or wrong.
    pub fn for_login(secret: Secret) -> Password {
        Password(secret)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_at_below_and_above_their_rules() {
        let check = |text: &str, expected: Result<&str, NameError>| {
            assert_eq!(text.parse::<UserName>().as_ref().map(UserName::as_str).map_err(|e| *e), expected, "{text}");
        };
        check("Alice_1", Ok("alice_1"));
        check("crypto-user-1", Ok("crypto-user-1"));
        check("a", Ok("a"));
        check("", Err(NameError::Empty));
        check(&"x".repeat(31), Ok(&"x".repeat(31)));
        check(&"x".repeat(32), Err(NameError::TooLong));
        check("a b", Err(NameError::Character));
        check("a:b", Err(NameError::Character));
        check("ä", Err(NameError::Character));
    }

    #[test]
    fn passwords_at_below_and_above_their_rules() {
        let check = |text: &str, expected: Result<(), PasswordError>| {
            assert_eq!(Password::new(Secret::from(text.as_bytes())).map(|_| ()), expected, "{text}");
        };
        check("password", Ok(()));
        check("passwor", Err(PasswordError::TooShort));
        check(&"p".repeat(32), Ok(()));
        check(&"p".repeat(33), Err(PasswordError::TooLong));
        check("pass:word", Err(PasswordError::Colon));
        check("pass\nword", Err(PasswordError::Character));
        check("pässword", Ok(()));
    }
}
