//! `credentials.json`: the passwords that `up` made or was given, so that it can print them again.

use std::fmt;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use strongroom_types::{Password, Secret, UserName};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Durability, MODE_SECRET, StateFolder, read_bounded, write_whole};
use crate::error::StateError;

const FORMAT: u32 = 1;

/// The passwords of a cluster's first two users, as they were when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The admin.
    pub admin: Login,
    /// The crypto user.
    pub crypto_user: Login,
}

/// A name and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name, in lower case.
    pub name: UserName,
    /// The password; it keeps the rules for passwords.
    pub password: Password,
}

impl Login {
    /// The password as text.
    pub fn password_text(&self) -> &str {
        std::str::from_utf8(self.password.expose()).expect("a password that was set is UTF-8")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    admin: Entry,
    crypto_user: Entry,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Entry {
    username: String,
    password: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry")
    }
}

impl Credentials {
    /// The file of `folder`, or none if there is none.
    pub fn read(folder: &StateFolder) -> Result<Option<Credentials>, StateError> {
        let path = folder.credentials_file();
        let Some(content) = read_bounded(&path)? else { return Ok(None) };
        Credentials::parse(path, &content).map(Some)
    }

    /// Reads the content of the file at `path`.
    pub fn parse(path: PathBuf, content: &[u8]) -> Result<Credentials, StateError> {
        let file: File = match serde_json::from_slice(content) {
            Ok(file) => file,
            Err(error) => return Err(StateError::damaged(path, &error)),
        };
        if file.format != FORMAT {
            return Err(StateError::Format { path, found: u64::from(file.format), known: FORMAT });
        }
        let login = |entry: &Entry| -> Result<Login, &'static str> {
            let name = entry.username.parse().map_err(|_| "a user name breaks its rules")?;
            let password = Password::new(Secret::from(entry.password.as_bytes()));
            Ok(Login { name, password: password.map_err(|_| "a password breaks its rules")? })
        };
        let both = login(&file.admin).and_then(|admin| Ok((admin, login(&file.crypto_user)?)));
        match both {
            Ok((admin, crypto_user)) => Ok(Credentials { admin, crypto_user }),
            Err(what) => Err(StateError::Contradiction { path, what }),
        }
    }

    /// Writes the file, for its owner's eyes only.
    pub fn write(&self, folder: &StateFolder) -> Result<(), StateError> {
        let entry =
            |login: &Login| Entry { username: login.name.to_string(), password: login.password_text().to_owned() };
        let file = File { format: FORMAT, admin: entry(&self.admin), crypto_user: entry(&self.crypto_user) };
        let mut content = Zeroizing::new(Vec::with_capacity(1024));
        serde_json::to_writer_pretty(&mut *content, &file).expect("a struct of texts is JSON");
        content.push(b'\n');
        write_whole(&folder.credentials_file(), &content, MODE_SECRET, Durability::Disk)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn login(name: &str, password: &str) -> Login {
        let password = Password::new(Secret::from(password.as_bytes())).expect("a password");
        Login { name: name.parse().expect("a name"), password }
    }

    #[test]
    fn what_is_written_is_read_and_for_the_owner_only() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::prepare(place.path()).expect("prepared");
        assert_eq!(Credentials::read(&folder).expect("readable"), None);
        let credentials =
            Credentials { admin: login("admin", "pass\"wörd\\1"), crypto_user: login("alice", "hunter22") };
        credentials.write(&folder).expect("written");
        assert_eq!(Credentials::read(&folder).expect("readable"), Some(credentials.clone()));
        let mode = std::fs::metadata(folder.credentials_file()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{credentials:?}").contains("hunter22"));
    }

    #[test]
    fn errors_about_the_file_hold_no_password() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::prepare(place.path()).expect("prepared");
        let check = |content: &str| {
            std::fs::write(folder.credentials_file(), content).expect("written");
            let error = Credentials::read(&folder).expect_err(content);
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            assert!(!format!("{error} {cause} {error:?}").contains("hunter2"), "{error}: {cause}");
        };
        check(r#"{"format":1,"admin":{"username":"admin","password":"hunter2"}"#);
        check(r#"{"format":1,"admin":"hunter22","crypto_user":{"username":"a","password":"hunter22"}}"#);
        check(
            r#"{"format":1,"admin":{"username":"admin","password":"hunter2"},"crypto_user":{"username":"a","password":"hunter22"}}"#,
        );
        check(
            r#"{"format":9,"admin":{"username":"admin","password":"hunter22"},"crypto_user":{"username":"a","password":"hunter22"}}"#,
        );
    }
}
