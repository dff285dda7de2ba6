//! What the engine reads when it is loaded: its configuration, the CA, the credentials.
//!
//! A web server loads the engine as root and signs in workers that see neither the files nor the environment, so all of
//! it is read at once and kept.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use strongroom_client::{Client, ClientName, ClusterConfig, Component, Config, ConfigError, Level, Log};
use strongroom_types::{NameError, Password, Role, Secret, UserName};
use thiserror::Error;

/// Variables that hold `<user>:<password>`, the first that is set counts.
const PIN_VARIABLES: [&str; 2] = ["CLOUDHSM_PIN", "n3fips_password"];

/// Settings that can't be used.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    /// The configuration or the CA.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// More than one cluster, and nothing that could say which.
    #[error("{} names several clusters, and the engine uses one; leave that one in it", path.display())]
    SeveralClusters {
        /// The configuration.
        path: PathBuf,
    },
    /// No colon, or nothing on one side of it.
    #[error("{variable} is not of the form <user>:<password>")]
    PinForm {
        /// Where it stands.
        variable: &'static str,
    },
    /// The part before the colon can be no user's name.
    #[error("{variable}: {source}")]
    PinUser {
        /// Where it stands.
        variable: &'static str,
        /// Why.
        source: NameError,
    },
}

/// Who logs in.
#[derive(Debug, PartialEq, Eq)]
struct Credentials {
    user: UserName,
    password: Password,
}

/// What the settings make.
pub(crate) struct Loaded {
    /// A client for the configured cluster, which has spoken to nobody yet.
    pub(crate) client: Client,
    /// Its log.
    pub(crate) log: Log,
    /// Whether the client can log in.
    pub(crate) has_credentials: bool,
}

/// Reads the settings.
pub(crate) fn load() -> Result<Loaded, SettingsError> {
    let config = Config::load(Component::Dyn)?;
    let log = Log::new(&config.logging);
    let cluster = match ClusterConfig::select(&config, None) {
        Err(ConfigError::SeveralClusters { .. }) => {
            return Err(SettingsError::SeveralClusters { path: Component::Dyn.path() });
        }
        selected => selected?.clone(),
    };
    let credentials = credentials(|variable| std::env::var_os(variable))?;
    let client = Client::open_with_log(cluster, ClientName::new("cloudhsm-openssl-engine"), log.clone())?;
    let has_credentials = credentials.is_some();
    match credentials {
        Some(Credentials { user, password }) => client.set_credentials(user, Role::CryptoUser, password),
        None => log
            .write(Level::Warn, "CLOUDHSM_PIN is not set: files with real keys work, keys in the HSMs cannot be used"),
    }
    Ok(Loaded { client, log, has_credentials })
}

/// The credentials of the environment; none when no variable is set.
fn credentials(read: impl Fn(&str) -> Option<OsString>) -> Result<Option<Credentials>, SettingsError> {
    let set = |variable: &'static str| {
        let value = Secret::new(read(variable)?.into_vec());
        (!value.is_empty()).then_some((variable, value))
    };
    let Some((variable, value)) = PIN_VARIABLES.into_iter().find_map(set) else { return Ok(None) };
    let form = || SettingsError::PinForm { variable };
    let colon = value.expose().iter().position(|byte| *byte == b':').ok_or_else(form)?;
    let (user, password) = value.expose().split_at(colon);
    let password = password.get(1..).filter(|password| !password.is_empty()).ok_or_else(form)?;
    let user = std::str::from_utf8(user).map_err(|_| NameError::Character).and_then(str::parse);
    let user = user.map_err(|source| SettingsError::PinUser { variable, source })?;
    Ok(Some(Credentials { user, password: Password::for_login(Secret::from(password)) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pin: Option<&str>, older: Option<&str>, expected: Result<Option<(&str, &str)>, &str>) {
        let read = |variable: &str| match variable {
            "CLOUDHSM_PIN" => pin.map(OsString::from),
            "n3fips_password" => older.map(OsString::from),
            other => panic!("{other} is nobody's to read"),
        };
        let found = credentials(read).map_err(|error| error.to_string());
        let expected = expected.map(|found| {
            found.map(|(user, password)| Credentials {
                user: user.parse().unwrap(),
                password: Password::for_login(Secret::from(password.as_bytes())),
            })
        });
        assert_eq!(found, expected.map_err(str::to_owned), "{pin:?} {older:?}");
    }

    #[test]
    fn credentials_come_from_the_first_variable_that_is_set() {
        check(Some("alice:secret"), None, Ok(Some(("alice", "secret"))));
        check(Some("alice:secret"), Some("bob:other"), Ok(Some(("alice", "secret"))));
        check(None, Some("Bob:other"), Ok(Some(("bob", "other"))));
        check(Some(""), Some("bob:other"), Ok(Some(("bob", "other"))));
        check(None, None, Ok(None));
        check(Some(""), None, Ok(None));
        check(Some("alice:with:colons"), None, Ok(Some(("alice", "with:colons"))));
    }

    #[test]
    fn a_pin_of_another_form_is_refused_without_showing_it() {
        for pin in ["nocolon", "alice:"] {
            check(Some(pin), Some("bob:other"), Err("CLOUDHSM_PIN is not of the form <user>:<password>"));
        }
        check(Some(":secret"), None, Err("CLOUDHSM_PIN: the user name is empty"));
        check(
            None,
            Some("two words:secret"),
            Err("n3fips_password: a user name has letters, digits, '_', '-' and '.' only"),
        );
    }
}
