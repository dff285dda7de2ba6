//! Stories of the rules.

mod bounds;
pub(crate) mod certificates;
mod ciphers;
mod clones;
mod copies;
mod derive;
mod key_uses;
mod keys;
mod lifecycle;
mod logins;
mod model;
pub(crate) mod mtls;
mod permissions;
mod quorum;
mod receipts;
mod records;
mod replicate;
mod session_keys;
mod sharing;
mod state;
mod templates;
mod users;
mod uses;
pub(crate) mod world;
mod wrapping;
