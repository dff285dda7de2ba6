//! A configured cluster as a slot, with its token always in it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cryptoki_sys::{
    CK_SLOT_ID, CKR_PIN_INCORRECT, CKR_PIN_LEN_RANGE, CKR_USER_ALREADY_LOGGED_IN, CKR_USER_NOT_LOGGED_IN,
};
use strongroom_client::{Client, ClientName, ClusterConfig, ConfigError, Level, Log, Settings};
use strongroom_types::limits::PIN_LEN_MAX;
use strongroom_types::{ClusterId, ClusterMode, HsmType, Password, Role, Secret, UserName};

use crate::failure::Failure;
use crate::objects::Objects;
use crate::turn::{Turn, Turns};

/// The first slot's id; further clusters count up from it.
const FIRST_SLOT: CK_SLOT_ID = 0x2000_0000_0000_0001;
/// The label of the first token, whatever the cluster's type: programs name it in their configurations.
const FIRST_LABEL: &str = "hsm1";

/// For how long a logout waits for an HSM: a program that ends does not wait for longer than one that works.
pub(crate) const LOGOUT_PATIENCE: Duration = Duration::from_secs(10);
/// For how long a login waits, for other threads and an HSM together.
pub(crate) const LOGIN_PATIENCE: Duration = Duration::from_secs(30);

/// What a cluster is, which never changes.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The type of its HSMs.
    pub(crate) hsm_type: HsmType,
    /// Its FIPS policy.
    pub(crate) mode: ClusterMode,
    cluster_id: ClusterId,
    /// Major and minor version of its HSMs' hardware.
    pub(crate) hardware: (u8, u8),
    /// Major and minor version of its HSMs' firmware.
    pub(crate) firmware: (u8, u8),
}

impl Facts {
    /// The token's serial number: what tells the cluster's id from others, which fits the field.
    pub(crate) fn serial(&self) -> &str {
        self.cluster_id.as_str().rsplit('-').next().unwrap_or_default()
    }
}

/// See the module.
pub(crate) struct Slot {
    /// The application's name for it.
    pub(crate) id: CK_SLOT_ID,
    /// The token's label.
    pub(crate) label: String,
    /// The cluster.
    pub(crate) client: Client,
    /// What is switched on and off.
    pub(crate) settings: Settings,
    /// Where lines go.
    pub(crate) log: Log,
    /// What the application has handles of.
    pub(crate) objects: Objects,
    facts: OnceLock<Facts>,
    /// Taken while a login is made or ended.
    turns: Turns,
}

/// The two parts of a PIN.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    user: UserName,
    password: Password,
}

impl Credentials {
    /// Of `<user>:<password>`, split at the first colon.
    pub(crate) fn of_pin(pin: &[u8]) -> Result<Credentials, Failure> {
        if pin.is_empty() {
            return Err(Failure::call(CKR_PIN_LEN_RANGE, "the PIN is empty; it is <user>:<password>"));
        }
        check_len(pin.len())?;
        let mut parts = pin.splitn(2, |byte| *byte == b':');
        match (parts.next(), parts.next()) {
            (Some(user), Some(password)) => Credentials::of_parts(user, password),
            _ => Err(Failure::call(CKR_PIN_INCORRECT, "the PIN is not of the form <user>:<password>")),
        }
    }

    /// Of a user's name and a password.
    pub(crate) fn of_parts(user: &[u8], password: &[u8]) -> Result<Credentials, Failure> {
        check_len(user.len().saturating_add(password.len()))?;
        if password.is_empty() {
            return Err(Failure::call(CKR_PIN_INCORRECT, "the password is empty; the PIN is <user>:<password>"));
        }
        let user = std::str::from_utf8(user).ok().and_then(|user| user.parse().ok());
        let user = user.ok_or(Failure::call(CKR_PIN_INCORRECT, "what stands before the colon is no user's name"))?;
        Ok(Credentials { user, password: Password::for_login(Secret::from(password)) })
    }
}

fn check_len(len: usize) -> Result<(), Failure> {
    match len > PIN_LEN_MAX {
        true => Err(Failure::call(CKR_PIN_LEN_RANGE, "no user's name and password are as long as this PIN")),
        false => Ok(()),
    }
}

impl Slot {
    /// The slot at this place of the configuration.
    pub(crate) fn new(index: usize, cluster: ClusterConfig, log: Log) -> Result<Slot, ConfigError> {
        let (settings, cluster_id) = (cluster.settings, cluster.cluster_id.clone());
        let label = match (index, cluster_id) {
            (0, _) => FIRST_LABEL.to_owned(),
            (_, Some(id)) => id.as_str().to_owned(),
            (index, None) => format!("{FIRST_LABEL}-{}", index + 1),
        };
        let client = Client::open_with_log(cluster, ClientName::new("cloudhsm-pkcs11"), log.clone())?;
        let (objects, facts, turns) = (Objects::new(client.clone()), OnceLock::new(), Turns::new());
        let id = FIRST_SLOT + index as CK_SLOT_ID;
        Ok(Slot { id, label, client, settings, log, objects, facts, turns })
    }

    /// The slot in a person's words. Says nothing to any HSM.
    pub(crate) fn description(&self) -> String {
        format!("CloudHSM cluster as token {}", self.label)
    }

    /// Whether a user is logged in. A login that the HSMs have ended is none as soon as an answer said so; until the next one
    /// or a logout the program is refused what it may do without a login as nobody.
    pub(crate) fn logged_in(&self) -> bool {
        self.client.is_logged_in()
    }

    /// The number of the login; zero when nobody is logged in.
    pub(crate) fn login_number(&self) -> u64 {
        self.client.login_number()
    }

    /// What the cluster is. Asked for once.
    pub(crate) fn facts(&self) -> Result<Facts, Failure> {
        if let Some(facts) = self.facts.get() {
            return Ok(facts.clone());
        }
        let info = self.client.cluster_info()?;
        let byte = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        let first = info.hsms.first();
        let facts = Facts {
            hsm_type: info.hsm_type,
            mode: info.mode,
            cluster_id: info.cluster_id.clone(),
            hardware: first.map_or((0, 0), |hsm| (byte(hsm.hardware_major), byte(hsm.hardware_minor))),
            firmware: first.map_or((0, 0), |hsm| (byte(hsm.firmware_major), byte(hsm.firmware_minor))),
        };
        Ok(self.facts.get_or_init(|| facts).clone())
    }

    /// Waits for other threads' logging in and out.
    pub(crate) fn turn(&self, deadline: Instant) -> Result<Turn<'_>, Failure> {
        self.turns.take(deadline)
    }

    /// Logs in, for whoever has the turn.
    pub(crate) fn login(&self, turn: &Turn<'_>, credentials: &Credentials, deadline: Instant) -> Result<(), Failure> {
        if self.logged_in() {
            return Err(Failure::call(CKR_USER_ALREADY_LOGGED_IN, "a user is logged in to this slot already"));
        }
        let Credentials { user, password } = credentials;
        turn.attempt(self.turns.print(user.as_str(), password.expose()), || {
            let left = deadline.saturating_duration_since(Instant::now());
            self.client.login_within(user, Role::CryptoUser, password, left)?;
            Ok(())
        })
    }

    /// Logs out, for whoever has the turn, and ends what only a user has. The login is over here whatever the HSMs answer.
    /// Without one nothing is said to any HSM.
    pub(crate) fn logout(&self, _: &Turn<'_>, deadline: Instant) -> Result<(), Failure> {
        let slot = self;
        let was_logged_in = slot.logged_in();
        // Of a login that the HSMs ended, too, so that the program is none of a user's from here on.
        let done = slot.client.logout_within(deadline.saturating_duration_since(Instant::now()));
        if was_logged_in && let Err(error) = done {
            let line = format!(
                "no HSM has acknowledged the logout; unless it was made, the login runs out by itself: {error}"
            );
            slot.log.write(Level::Warn, &line);
        }
        slot.objects.logged_out();
        match was_logged_in {
            true => Ok(()),
            false => Err(Failure::call(CKR_USER_NOT_LOGGED_IN, "nobody is logged in to this slot")),
        }
    }
}

impl Drop for Slot {
    /// What a call logged in that ran while the library was finalised. A forked child never drops what it inherited.
    fn drop(&mut self) {
        if self.logged_in() {
            let deadline = Instant::now() + LOGOUT_PATIENCE;
            let _ = self.turn(deadline).and_then(|turn| self.logout(&turn, deadline));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_split_at_its_first_colon() {
        let check = |pin: &[u8], user: &str, password: &[u8]| {
            let password = Password::for_login(Secret::from(password));
            assert_eq!(Credentials::of_pin(pin).unwrap(), Credentials { user: user.parse().unwrap(), password });
        };
        check(b"alice:secret", "alice", b"secret");
        check(b"Alice:with:colons", "alice", b"with:colons");
        check(b"alice:\xff\x00", "alice", b"\xff\x00");
        let longest = [&[b'a'; 31][..], b":", &[0xc3; PIN_LEN_MAX - 32]].concat();
        check(&longest, &"a".repeat(31), &[0xc3; PIN_LEN_MAX - 32]);
    }

    #[test]
    fn a_pin_of_another_form_is_refused() {
        let check = |pin: &[u8], rv| assert_eq!(Credentials::of_pin(pin).unwrap_err().rv(), rv, "{pin:?}");
        check(b"", CKR_PIN_LEN_RANGE);
        check(&[b'a'; PIN_LEN_MAX + 1], CKR_PIN_LEN_RANGE);
        for pin in [&b"1234"[..], b":secret", b"alice:", b":", b"two words:secret", b"\xff\xfe:secret", &[b'a'; 40]] {
            check(pin, CKR_PIN_INCORRECT);
        }
        let parts = |user: &[u8], password: &[u8]| Credentials::of_parts(user, password).unwrap_err().rv();
        assert_eq!(parts(b"", b""), CKR_PIN_INCORRECT);
        assert_eq!(parts(b"alice", b""), CKR_PIN_INCORRECT);
        assert_eq!(parts(b"alice", &[b'x'; PIN_LEN_MAX]), CKR_PIN_LEN_RANGE);
    }
}
