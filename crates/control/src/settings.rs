//! What somebody asks of `up`, checked before anything is made.

use std::fmt::Display;
use std::path::PathBuf;

use strongroom_types::{ClusterMode, HsmType, Password, Secret, UserName};

use crate::arguments::{SecretArgument, Up};
use crate::error::SettingsError;
use crate::state::{ClusterFile, Credentials, Login};

/// HSMs of a cluster for which no number is given.
pub const HSMS_DEFAULT: u8 = 2;
/// The first admin's name; the service's.
pub const ADMIN_NAME: &str = "admin";
/// The crypto user's name if none is given.
pub const CRYPTO_USER_NAME: &str = "crypto_user";
/// The name of the cluster's own user; the service's.
const APPLIANCE_USER_NAME: &str = "app_user";
/// Characters of a password that `up` makes: 114 bits.
pub const RANDOM_PASSWORD_LEN: usize = 20;
/// Without 0 and O, 1, I and l: somebody may have to type it.
const PASSWORD_ALPHABET: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// What is asked; none where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The state folder of the cluster to begin with.
    pub clone_of: Option<PathBuf>,
    /// Number of HSMs.
    pub hsms: Option<u8>,
    /// Mode.
    pub mode: Option<ClusterMode>,
    /// Type.
    pub hsm_type: Option<HsmType>,
    /// The admin's password.
    pub admin_password: Option<Password>,
    /// The crypto user.
    pub crypto_user: Option<Login>,
    /// A member's lease, milliseconds.
    pub lease_ms: Option<u64>,
    /// PBKDF2 iterations.
    pub password_iterations: Option<u32>,
}

impl Settings {
    /// Checks a command line. The texts of errors repeat no password.
    pub fn of(options: &Up) -> Result<Settings, SettingsError> {
        let settings = Settings {
            clone_of: options.clone_of.clone(),
            hsms: options.hsms,
            mode: options.mode,
            hsm_type: options.hsm_type,
            admin_password: options
                .admin_password
                .as_ref()
                .map(|SecretArgument(secret)| password("--admin-password", secret.clone()))
                .transpose()?,
            crypto_user: options.crypto_user.as_ref().map(|SecretArgument(secret)| login(secret)).transpose()?,
            lease_ms: options.lease_ms,
            password_iterations: options.password_iterations,
        };
        if settings.hsm_type == Some(HsmType::Hsm1Medium) && settings.mode == Some(ClusterMode::NonFips) {
            return Err(SettingsError::ModeOfType);
        }
        let given = [
            ("--admin-password", settings.admin_password.is_some()),
            ("--crypto-user", settings.crypto_user.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given && settings.clone_of.is_some()) {
            Some((option, _)) => Err(SettingsError::CloneCredentials { option }),
            None => Ok(settings),
        }
    }

    /// Whether a cluster that exists is what is asked.
    pub fn check_cluster(&self, cluster: &ClusterFile) -> Result<(), SettingsError> {
        self.check_origin(cluster)?;
        same("HSMs:", self.hsms.map(usize::from), cluster.hsms.len())?;
        same("mode", self.mode, cluster.mode)?;
        same("HSM type", self.hsm_type, cluster.hsm_type)?;
        same("a lease in milliseconds of", self.lease_ms, cluster.lease_ms)?;
        same("password iterations:", self.password_iterations, cluster.password_iterations)
    }

    /// Whether it is a clone of what is asked, if a clone is asked.
    fn check_origin(&self, cluster: &ClusterFile) -> Result<(), SettingsError> {
        let Some(asked) = &self.clone_of else { return Ok(()) };
        match &cluster.clone_of {
            None => Err(SettingsError::NoClone { cluster: cluster.cluster_id.clone(), asked: asked.clone() }),
            Some(origin) if origin.is_at(asked) => Ok(()),
            Some(origin) => Err(SettingsError::Different {
                what: "for its origin",
                has: format!("{} in {}", origin.cluster_id, origin.state.display()),
                asked: asked.display().to_string(),
            }),
        }
    }

    /// The passwords of a cluster that has some, if they are what is asked.
    pub fn check_credentials(&self, credentials: &Credentials) -> Result<(), SettingsError> {
        if self.admin_password.as_ref().is_some_and(|asked| *asked != credentials.admin.password) {
            return Err(SettingsError::PasswordDifferent { option: "--admin-password" });
        }
        if self.crypto_user.as_ref().is_some_and(|asked| *asked != credentials.crypto_user) {
            return Err(SettingsError::PasswordDifferent { option: "--crypto-user" });
        }
        Ok(())
    }

    /// For a cluster whose passwords are not kept any more: none may be given.
    pub fn check_no_credentials(&self) -> Result<(), SettingsError> {
        let given =
            [("--admin-password", self.admin_password.is_some()), ("--crypto-user", self.crypto_user.is_some())];
        match given.into_iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(SettingsError::CredentialsRemoved { option }),
            None => Ok(()),
        }
    }

    /// The passwords of a new cluster: as asked, random where nothing is said.
    pub fn credentials(&self, mut draw: impl FnMut(&mut [u8])) -> Credentials {
        let mut random = || Password::new(random_password(&mut draw)).expect("the alphabet and length keep the rules");
        let name = |name: &str| name.parse::<UserName>().expect("a constant that keeps the rules");
        Credentials {
            admin: Login { name: name(ADMIN_NAME), password: self.admin_password.clone().unwrap_or_else(&mut random) },
            crypto_user: self
                .crypto_user
                .clone()
                .unwrap_or_else(|| Login { name: name(CRYPTO_USER_NAME), password: random() }),
        }
    }
}

fn same<T: PartialEq + Display>(what: &'static str, asked: Option<T>, has: T) -> Result<(), SettingsError> {
    match asked {
        Some(asked) if asked != has => {
            Err(SettingsError::Different { what, has: has.to_string(), asked: asked.to_string() })
        }
        Some(_) | None => Ok(()),
    }
}

fn password(option: &'static str, secret: Secret) -> Result<Password, SettingsError> {
    Password::new(secret).map_err(|rule| SettingsError::Password { option, rule })
}

/// `USER:PASSWORD`. The first colon separates: neither part may hold one.
fn login(secret: &Secret) -> Result<Login, SettingsError> {
    let text = secret.expose();
    let colon = text.iter().position(|byte| *byte == b':').ok_or(SettingsError::CryptoUserForm)?;
    let (name, rest) = (&text[..colon], &text[colon + 1..]);
    let name = std::str::from_utf8(name).map_err(|_| SettingsError::CryptoUserForm)?;
    let name: UserName = name.parse().map_err(SettingsError::CryptoUserName)?;
    if [ADMIN_NAME, APPLIANCE_USER_NAME].contains(&name.as_str()) {
        return Err(SettingsError::CryptoUserReserved { name });
    }
    Ok(Login { name, password: password("--crypto-user", Secret::from(rest))? })
}

/// Each character of the alphabet is equally likely: draws that would favour some are thrown away.
fn random_password(draw: &mut impl FnMut(&mut [u8])) -> Secret {
    let fair = 256 - 256 % PASSWORD_ALPHABET.len();
    let mut password = Vec::with_capacity(RANDOM_PASSWORD_LEN);
    let mut byte = zeroize::Zeroizing::new([0]);
    while password.len() < RANDOM_PASSWORD_LEN {
        draw(&mut *byte);
        let drawn = usize::from(byte[0]);
        if drawn < fair {
            password.push(PASSWORD_ALPHABET[drawn % PASSWORD_ALPHABET.len()]);
        }
    }
    Secret::new(password)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn settings(line: &str) -> Result<Settings, SettingsError> {
        let words = ["strongroom", "up"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words).expect("a valid command line").command {
            Command::Up(options) => Settings::of(&options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn settings_are_checked_and_errors_name_the_option_but_no_secret() {
        let check = |line: &str, expected: &str| {
            let said = settings(line).map_or_else(|error| error.to_string(), |_| "ok".to_owned());
            assert!(said.contains(expected), "{line}: {said}");
            assert!(!said.contains("hunter"), "{said}");
        };
        check("", "ok");
        check("--hsm-type hsm2m.medium --mode NON_FIPS", "ok");
        check("--hsm-type hsm1.medium --mode FIPS", "ok");
        check("--hsm-type hsm1.medium --mode NON_FIPS", "hsm1.medium has no NON_FIPS mode");
        check("--admin-password hunter22", "ok");
        check("--admin-password hunter", "--admin-password: the password is shorter than 8");
        check("--admin-password hunter:22", "--admin-password: the password contains ':'");
        check("--crypto-user alice:hunter22", "ok");
        check("--clone-of a", "ok");
        check("--clone-of a --admin-password hunter22", "--admin-password is of no use with --clone-of");
        check("--clone-of a --crypto-user alice:hunter22", "--crypto-user is of no use with --clone-of");
        check("--crypto-user hunter22", "with a colon between");
        check("--crypto-user :hunter22", "--crypto-user: the user name is empty");
        check("--crypto-user a/b:hunter22", "--crypto-user: a user name has letters");
        check("--crypto-user Admin:hunter22", "every cluster has a user admin");
        check("--crypto-user app_user:hunter22", "every cluster has a user app_user");
        check("--crypto-user alice:hunter", "--crypto-user: the password is shorter");
        check("--crypto-user alice:hunter22:x", "--crypto-user: the password contains ':'");
    }

    #[test]
    fn passwords_that_are_not_given_are_random_and_good() {
        let mut state = 1_u32;
        let mut draw = |bytes: &mut [u8]| {
            for byte in bytes {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = state.to_be_bytes()[0];
            }
        };
        let made = Settings::default().credentials(&mut draw);
        assert_eq!((made.admin.name.as_str(), made.crypto_user.name.as_str()), ("admin", "crypto_user"));
        assert_ne!(made.admin.password, made.crypto_user.password);
        assert_eq!(made.admin.password_text().len(), RANDOM_PASSWORD_LEN);
        let again = Settings::default().credentials(&mut draw);
        assert_ne!(again, made);
        let asked = settings("--admin-password hunter22 --crypto-user Alice:hunter33").expect("valid");
        let given = asked.credentials(&mut draw);
        assert_eq!(given.admin.password_text(), "hunter22");
        assert_eq!((given.crypto_user.name.as_str(), given.crypto_user.password_text()), ("alice", "hunter33"));
        assert!(asked.check_credentials(&given).is_ok());
        assert!(asked.check_credentials(&made).is_err());
        assert!(Settings::default().check_credentials(&made).is_ok());
    }

    #[test]
    fn random_passwords_use_the_whole_alphabet_evenly() {
        let mut next = 0_u8;
        let mut counter = |bytes: &mut [u8]| {
            bytes[0] = next;
            next = next.wrapping_add(1);
        };
        let mut counts = [0_u32; 256];
        for _ in 0..57 {
            for byte in random_password(&mut counter).expose() {
                counts[usize::from(*byte)] += 1;
            }
        }
        let used: Vec<_> = counts.into_iter().filter(|count| *count > 0).collect();
        assert_eq!(used, vec![20; PASSWORD_ALPHABET.len()]);
    }
}
