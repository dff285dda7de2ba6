//! Stories of one or two HSMs on a memory store, asked as a connection would ask them.

mod certificates;
mod changes;
mod ciphers;
mod clusters;
mod copies;
mod crypto;
mod derive;
mod key_uses;
mod life;
mod logins;
mod mfa;
mod mtls;
mod quorum;
mod replicate;
mod session_keys;
mod sharing;
mod strangers;
mod tickets;
mod tokens;
mod world;
mod wrapping;
