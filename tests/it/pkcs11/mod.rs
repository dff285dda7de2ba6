//! The PKCS #11 library, loaded by C programs, and by tests in processes of their own.

mod inside;
mod objects;
mod operations;
mod sessions;
mod wycheproof;
