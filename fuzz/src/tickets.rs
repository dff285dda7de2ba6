//! Tickets, session keys and MFA challenges in clear: there is one form of each, and nothing else is read.

use strongroom_core::{Challenge, SessionKey, Ticket};

/// The target.
pub fn run(data: &[u8]) {
    for bytes in [data.to_vec(), [&[1], data].concat()] {
        if let Ok(ticket) = Ticket::decode(&bytes) {
            assert_eq!(ticket.encode(), bytes);
        }
        if let Ok(key) = SessionKey::decode(&bytes) {
            assert_eq!(key.encode(), bytes);
        }
        if let Ok(challenge) = Challenge::decode(&bytes) {
            assert_eq!(challenge.encode(), bytes);
        }
    }
}

/// To begin with: some of each.
pub fn seeds() -> Vec<Vec<u8>> {
    let session_keys = crate::samples::session_keys().into_iter().map(|key| key.encode());
    let challenges = crate::samples::challenges().into_iter().map(|challenge| challenge.encode());
    std::iter::once(crate::samples::ticket().encode()).chain(session_keys).chain(challenges).collect()
}
