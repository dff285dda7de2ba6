//! Tickets and session keys in clear: there is one form of each, and nothing else is read.

use strongroom_core::{SessionKey, Ticket};

/// The target.
pub fn run(data: &[u8]) {
    for bytes in [data.to_vec(), [&[1], data].concat()] {
        if let Ok(ticket) = Ticket::decode(&bytes) {
            assert_eq!(ticket.encode(), bytes);
        }
        if let Ok(key) = SessionKey::decode(&bytes) {
            assert_eq!(key.encode(), bytes);
        }
    }
}

/// To begin with: one of each.
pub fn seeds() -> Vec<Vec<u8>> {
    let session_keys = crate::samples::session_keys().into_iter().map(|key| key.encode());
    std::iter::once(crate::samples::ticket().encode()).chain(session_keys).collect()
}
