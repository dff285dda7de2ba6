//! Stories of the rules.

mod bounds;
mod keys;
mod lifecycle;
mod logins;
mod permissions;
mod receipts;
mod records;
mod session_keys;
mod sharing;
mod state;
mod users;
mod uses;
pub(crate) mod world;
