//! A configured cluster as a slot, with its token always in it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cryptoki_sys::{
    CK_SLOT_ID, CKR_PIN_INCORRECT, CKR_PIN_LEN_RANGE, CKR_USER_ALREADY_LOGGED_IN, CKR_USER_NOT_LOGGED_IN,
};
use strongroom_client::{Client, ClientName, ClusterConfig, ClusterInfo, Level, Log, Settings};
use strongroom_types::{ClusterMode, HsmType, Password, Role, Secret, UserName};

use crate::failure::Failure;
use crate::objects::Objects;

/// The first slot's id; further clusters count up from it.
pub(crate) const FIRST_SLOT: CK_SLOT_ID = 0x2000_0000_0000_0001;
/// Bytes of a PIN at most: a user's name, a colon, a password of characters of four bytes.
pub(crate) const PIN_LEN_MAX: usize = 31 + 1 + 4 * 32;

/// What a cluster is, which never changes.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The type of its HSMs.
    pub(crate) hsm_type: HsmType,
    /// Its FIPS policy.
    pub(crate) mode: ClusterMode,
}

/// See the module.
pub(crate) struct Slot {
    /// The application's name for it.
    pub(crate) id: CK_SLOT_ID,
    /// The cluster.
    pub(crate) client: Client,
    /// What is switched on and off.
    pub(crate) settings: Settings,
    /// Where lines go.
    pub(crate) log: Log,
    /// What the application has handles of.
    pub(crate) objects: Objects,
    facts: OnceLock<Facts>,
    /// Held while a login is made or ended.
    turn: Mutex<()>,
}

/// The two parts of a PIN.
pub(crate) struct Credentials {
    pub(crate) user: UserName,
    pub(crate) password: Password,
}

impl Credentials {
    /// Of `<user>:<password>`, split at the first colon.
    pub(crate) fn of_pin(pin: &[u8]) -> Result<Credentials, Failure> {
        let form = Failure::call(CKR_PIN_INCORRECT, "the PIN is not of the form <user>:<password>");
        if pin.len() > PIN_LEN_MAX {
            return Err(Failure::call(CKR_PIN_LEN_RANGE, "no user's name and password are as long as this PIN"));
        }
        let Some(colon) = pin.iter().position(|byte| *byte == b':') else { return Err(form) };
        match pin.split_at(colon) {
            (user, [_, password @ ..]) => Credentials::of_parts(user, password),
            _ => Err(form),
        }
    }

    /// Of a user's name and a password.
    pub(crate) fn of_parts(user: &[u8], password: &[u8]) -> Result<Credentials, Failure> {
        if user.len().saturating_add(password.len()) > PIN_LEN_MAX {
            return Err(Failure::call(CKR_PIN_LEN_RANGE, "no user's name and password are as long as these"));
        }
        if password.is_empty() {
            return Err(Failure::call(CKR_PIN_INCORRECT, "the password is empty; the PIN is <user>:<password>"));
        }
        let user = std::str::from_utf8(user).ok().and_then(|user| user.parse().ok());
        let user = user.ok_or(Failure::call(CKR_PIN_INCORRECT, "what stands before the colon is no user's name"))?;
        Ok(Credentials { user, password: Password::for_login(Secret::from(password)) })
    }
}

impl Slot {
    /// The slot at this place of the configuration.
    pub(crate) fn new(index: usize, cluster: ClusterConfig, log: Log) -> Result<Slot, Failure> {
        let settings = cluster.settings;
        let client = Client::open_with_log(cluster, ClientName::new("cloudhsm-pkcs11"), log.clone())?;
        let (objects, facts, turn) = (Objects::new(client.clone()), OnceLock::new(), Mutex::new(()));
        let id = FIRST_SLOT + index as CK_SLOT_ID;
        Ok(Slot { id, client, settings, log, objects, facts, turn })
    }

    /// Whether a user is logged in. A login that the HSMs have ended is none as soon as an answer said so.
    pub(crate) fn logged_in(&self) -> bool {
        self.client.is_logged_in()
    }

    /// What the cluster is. Asked for once.
    pub(crate) fn facts(&self) -> Result<Facts, Failure> {
        if let Some(facts) = self.facts.get() {
            return Ok(facts.clone());
        }
        let ClusterInfo { hsm_type, mode, .. } = self.client.cluster_info()?;
        Ok(self.facts.get_or_init(|| Facts { hsm_type, mode }).clone())
    }

    /// Logs in. Of several threads that try at once one wins, and the others find it logged in.
    pub(crate) fn login(&self, credentials: &Credentials) -> Result<(), Failure> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.logged_in() {
            return Err(Failure::call(CKR_USER_ALREADY_LOGGED_IN, "a user is logged in to this slot already"));
        }
        // Of a login that the HSMs ended.
        self.objects.logged_out();
        self.client.login(&credentials.user, Role::CryptoUser, &credentials.password)?;
        Ok(())
    }

    /// Logs out, and ends what only a user has. The login is over here whatever the HSMs answer.
    pub(crate) fn logout(&self, sessions_drop: impl FnOnce()) -> Result<(), Failure> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let was_logged_in = self.logged_in();
        if was_logged_in && let Err(error) = self.client.logout() {
            let line = format!("no HSM could be told of the logout, and the login runs out by itself: {error}");
            self.log.write(Level::Warn, &line);
        }
        self.objects.logged_out();
        sessions_drop();
        match was_logged_in {
            true => Ok(()),
            false => Err(Failure::call(CKR_USER_NOT_LOGGED_IN, "nobody is logged in to this slot")),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.logged_in() {
            let _ = self.logout(|| ());
        }
    }
}

/// Slots are the same when they are of one id.
pub(crate) fn same(one: &Arc<Slot>, other: &Arc<Slot>) -> bool {
    one.id == other.id
}
