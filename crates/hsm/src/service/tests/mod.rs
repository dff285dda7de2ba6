//! Stories of one or two HSMs on a memory store, asked as a connection would ask them.

mod changes;
mod clusters;
mod crypto;
mod life;
mod logins;
mod mtls;
mod replicate;
mod session_keys;
mod sharing;
mod tickets;
mod world;
mod wrapping;
