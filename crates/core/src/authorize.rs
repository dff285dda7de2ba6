use std::sync::Arc;

use strongroom_types::limits::{RANDOM_LEN_MAX, RANDOM_LEN_MAX_BEFORE_LOGIN};
use strongroom_types::{
    Attributes, CipherMechanism, Derivation, Flag, KeyQuorum, KeyReference, MacMechanism, Refusal, SignMechanism,
    Status, WrapMechanism,
};

use crate::logins::login_stands;
use crate::permissions::{Operation, permit, service_of};
use crate::{Actor, Key, Request, SessionKey, State, algorithms, quorum};

/// What is to be done with a key; wrapping, which takes two, is [`authorize_wrap`](crate::authorize_wrap)'s. The data
/// decide too: their length, and in FIPS mode the hash that they show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse<'a> {
    /// Sign this data.
    Sign(SignMechanism, &'a [u8]),
    /// Verify a signature of this data.
    Verify(SignMechanism, &'a [u8]),
    /// Encrypt so many bytes.
    Encrypt(&'a CipherMechanism, usize),
    /// Decrypt so many bytes.
    Decrypt(&'a CipherMechanism, usize),
    /// Make the message authentication code of so many bytes.
    Mac(MacMechanism, usize),
    /// Verify that of so many bytes.
    VerifyMac(MacMechanism, usize),
    /// Unwrap a key that has so many bytes wrapped.
    Unwrap(WrapMechanism, usize),
    /// Derive so, a key of so many bytes.
    Derive(&'a Derivation, u32),
    /// Give its value out.
    ReadValue,
}

impl KeyUse<'_> {
    /// The row of the permission table.
    pub fn operation(self) -> Operation {
        match self {
            KeyUse::Sign(..) | KeyUse::Mac(..) => Operation::Sign,
            KeyUse::Verify(..) | KeyUse::VerifyMac(..) => Operation::Verify,
            KeyUse::Encrypt(..) => Operation::Encrypt,
            KeyUse::Decrypt(..) => Operation::Decrypt,
            KeyUse::Unwrap(..) => Operation::KeyUnwrap,
            KeyUse::Derive(..) => Operation::KeyDerive,
            KeyUse::ReadValue => Operation::KeyReadValue,
        }
    }

    /// The attribute that permits it; none where it is more than one.
    fn flag(self) -> Option<Flag> {
        match self {
            KeyUse::Sign(..) | KeyUse::Mac(..) => Some(Flag::Sign),
            KeyUse::Verify(..) | KeyUse::VerifyMac(..) => Some(Flag::Verify),
            KeyUse::Encrypt(..) => Some(Flag::Encrypt),
            KeyUse::Decrypt(..) => Some(Flag::Decrypt),
            KeyUse::Unwrap(..) => Some(Flag::Unwrap),
            KeyUse::Derive(..) => Some(Flag::Derive),
            KeyUse::ReadValue => None,
        }
    }

    /// Whether a key with these quorum values takes no such use at all: it would give fewer users than must approve a use
    /// what the others keep to themselves. Unwrapping a message as a secret whose value is shown is decrypting it, so those who
    /// approve that, by the `manage` value, must be as many.
    pub(crate) fn evades(self, quorum: KeyQuorum) -> bool {
        match self {
            KeyUse::Sign(..)
            | KeyUse::Verify(..)
            | KeyUse::Encrypt(..)
            | KeyUse::Decrypt(..)
            | KeyUse::Mac(..)
            | KeyUse::VerifyMac(..) => false,
            KeyUse::Unwrap(..) => quorum.usage > quorum.manage.max(1),
            KeyUse::Derive(..) => quorum.usage > 1,
            KeyUse::ReadValue => quorum.usage > 1 || quorum.manage > 1,
        }
    }
}

/// Decides whether `actor` may use the key so, now; for keys of the store the only way to a key for use. Allocates
/// nothing on success.
///
/// Checked in the order of [`Status`]: the cluster's state, the login, the role, whether the key is there and visible,
/// its class and type, the attribute that permits the use, the mechanism, the mode, the data's length, whether the key's
/// users must approve it. Such a use is refused here, whoever asks: see [`authorize_approved`].
pub fn authorize(
    state: &State,
    actor: &Actor,
    key_use: KeyUse<'_>,
    reference: KeyReference,
    now_ms: u64,
) -> Result<Arc<Key>, Refusal> {
    let key = permitted(state, actor, key_use, reference, now_ms)?;
    let service = service_of(key_use.operation());
    if service.is_some_and(|service| key.quorum.of(service) > 1) { Err(Status::QuorumFailed.into()) } else { Ok(key) }
}

/// The same for a use that the key's users have approved: [`Command::UseApproved`](crate::Command) was committed under this
/// request id, for this very operation.
pub fn authorize_approved(
    state: &State,
    actor: &Actor,
    key_use: KeyUse<'_>,
    reference: KeyReference,
    request: &Request,
    now_ms: u64,
) -> Result<Arc<Key>, Refusal> {
    let key = permitted(state, actor, key_use, reference, now_ms)?;
    if quorum::is_use_approved(state, actor, request) { Ok(key) } else { Err(Status::QuorumFailed.into()) }
}

/// The same for a key that a change unwraps with, or derives from: what others must approve of it is counted when the change is checked and
/// planned, and nowhere else. Good for nothing but making what the change then commits; every other use is decided as
/// [`authorize`] does.
pub fn authorize_for_change(
    state: &State,
    actor: &Actor,
    key_use: KeyUse<'_>,
    reference: KeyReference,
    now_ms: u64,
) -> Result<Arc<Key>, Refusal> {
    match key_use {
        KeyUse::Unwrap(..) | KeyUse::Derive(..) => permitted(state, actor, key_use, reference, now_ms),
        KeyUse::Sign(..)
        | KeyUse::Verify(..)
        | KeyUse::Encrypt(..)
        | KeyUse::Decrypt(..)
        | KeyUse::Mac(..)
        | KeyUse::VerifyMac(..)
        | KeyUse::ReadValue => authorize(state, actor, key_use, reference, now_ms),
    }
}

fn permitted(
    state: &State,
    actor: &Actor,
    key_use: KeyUse<'_>,
    reference: KeyReference,
    now_ms: u64,
) -> Result<Arc<Key>, Refusal> {
    let user = permit(state, actor, key_use.operation(), now_ms)?.ok_or(Status::NotLoggedIn)?;
    let key = state.key(reference).filter(|key| key.is_visible_to(user.id)).ok_or(Status::KeyUnknown)?;
    permitted_by(state, &key.attributes, key_use)?;
    if key_use.evades(key.quorum) { Err(Status::QuorumFailed.into()) } else { Ok(Arc::clone(key)) }
}

/// The same for a session key, which must be of the actor's own login, and so of one that stands.
pub fn authorize_session_key(
    state: &State,
    actor: &Actor,
    key_use: KeyUse<'_>,
    key: &SessionKey,
    now_ms: u64,
) -> Result<(), Refusal> {
    permit(state, actor, key_use.operation(), now_ms)?.ok_or(Status::NotLoggedIn)?;
    if !key.is_of(actor) {
        return Err(Status::KeyUnknown.into());
    }
    permitted_by(state, &key.attributes, key_use)
}

/// Decides whether `actor` may draw so many random bytes; answers how many. Strangers may draw some, whoever is logged in
/// more.
pub fn authorize_random(state: &State, actor: &Actor, len: u32, now_ms: u64) -> Result<usize, Refusal> {
    permit(state, actor, Operation::Random, now_ms)?;
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let max = match actor {
        Actor::Login(login) if len > RANDOM_LEN_MAX_BEFORE_LOGIN => {
            login_stands(state, login, now_ms)?;
            RANDOM_LEN_MAX
        }
        _ => RANDOM_LEN_MAX_BEFORE_LOGIN,
    };
    if (1..=max).contains(&len) { Ok(len) } else { Err(Refusal::new(Status::DataLengthInvalid, format!("1 to {max}"))) }
}

/// What the key itself and the cluster's mode permit.
fn permitted_by(state: &State, attributes: &Attributes, key_use: KeyUse<'_>) -> Result<(), Refusal> {
    algorithms::fits_key(key_use, attributes)?;
    match key_use.flag() {
        Some(flag) => has_flag(attributes, flag)?,
        None => is_readable(attributes)?,
    }
    let cluster = state.cluster().ok_or(Status::WrongClusterState)?;
    algorithms::fits_data(key_use, attributes, cluster)
}

/// Whether the key's value may be seen in clear (PKCS #11 v2.40 §4.9).
fn is_readable(attributes: &Attributes) -> Result<(), Refusal> {
    let flags = attributes.flags;
    let hidden = [(Flag::Sensitive, true), (Flag::Extractable, false), (Flag::WrapWithTrusted, true)];
    match hidden.iter().find(|(flag, hides)| flags.has(*flag) == *hides) {
        Some((flag, hides)) => Err(Refusal::new(Status::KeySensitive, format!("{}={hides}", flag.as_str()))),
        None => Ok(()),
    }
}

/// Whether the attribute is set that permits a use.
pub(crate) fn has_flag(attributes: &Attributes, flag: Flag) -> Result<(), Refusal> {
    if attributes.flags.has(flag) { Ok(()) } else { Err(Refusal::new(Status::KeyFunctionNotPermitted, flag.as_str())) }
}
