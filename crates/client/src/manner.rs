//! How each kind of operation is asked: its limits in time, and what it needs.

use std::time::Duration;

use strongroom_types::limits::TRY_MS_MAX;

/// Opening a connection to a member, name look-up apart: TCP and the TLS handshake together.
pub(crate) const CONNECT_MAX: Duration = Duration::from_millis(TRY_MS_MAX);

/// One kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    /// One try on one member.
    pub(crate) try_max: Duration,
    /// All tries together, pauses and waiting for a connection included.
    pub(crate) patience: Duration,
    /// Whether the connection must be attached to a login.
    pub(crate) needs_login: bool,
    /// Whether it changes something, and so carries a request id.
    pub(crate) changes: bool,
}

/// Use of a key, or of the random generator. Ten seconds are what a restart of every HSM takes, with room: a web server's
/// handshakes survive it.
pub(crate) const CRYPTOGRAPHY: Manner = Manner {
    try_max: Duration::from_millis(TRY_MS_MAX),
    patience: Duration::from_secs(10),
    needs_login: true,
    changes: false,
};

/// Use of a key that several users have approved: the HSM uses up a token first.
pub(crate) const APPROVED_USE: Manner = MANAGEMENT;

/// Lists and searches. A member may ask the store first, and a page may have a thousand keys.
pub(crate) const QUERY: Manner = Manner { try_max: Duration::from_secs(3), ..CRYPTOGRAPHY };

/// What everybody may know.
pub(crate) const PUBLIC_QUERY: Manner = Manner { needs_login: false, ..QUERY };

/// Changes of certificates without a login, which an HSM makes once a second.
pub(crate) const PUBLIC_CERTIFICATES: Manner = Manner { needs_login: false, ..MANAGEMENT };

/// Random bytes, for everybody.
pub(crate) const PUBLIC_RANDOM: Manner = Manner { needs_login: false, ..CRYPTOGRAPHY };

/// Checking a password costs an HSM a good part of a second, and it checks one of a user's at a time.
pub(crate) const LOGIN: Manner =
    Manner { try_max: Duration::from_secs(10), patience: Duration::from_secs(30), needs_login: false, changes: false };

/// Changes of users and keys. One that takes something away is acknowledged when every member knows it, which takes up
/// to a lease (10 s) when one has died.
pub(crate) const MANAGEMENT: Manner =
    Manner { try_max: Duration::from_secs(15), patience: Duration::from_secs(45), needs_login: true, changes: true };

/// Having a key or a user sealed for a clone, which changes nothing.
pub(crate) const EXPORT: Manner = Manner { changes: false, ..MANAGEMENT };

/// Making a key: an RSA-4096 pair may take many seconds on a busy machine, and one that comes in clear is checked as long.
pub(crate) const KEY_GENERATION: Manner =
    Manner { try_max: Duration::from_secs(30), patience: Duration::from_secs(90), needs_login: true, changes: true };

/// Making a session key, which changes nothing: who asks twice has two.
pub(crate) const SESSION_KEY_GENERATION: Manner = Manner { changes: false, ..KEY_GENERATION };

/// Deleting a session key, which only this client has.
pub(crate) const SESSION_KEY_DELETION: Manner = Manner { changes: false, ..MANAGEMENT };

/// Telling of session keys that have ended, all of them together: nobody need know of it.
pub(crate) const SESSION_KEYS_ENDED: Manner = Manner { patience: Duration::from_secs(2), ..SESSION_KEY_DELETION };

/// Setting the first admin's password.
pub(crate) const ACTIVATION: Manner = Manner { needs_login: false, ..MANAGEMENT };
