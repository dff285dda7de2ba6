//! The engine under the real `openssl` command, without a cluster: what works then, what fails, and how it is told.
//! Signatures by HSMs are tested in `tests/`, where there are HSMs.

mod host;
mod library;
mod real_keys;
mod references;
mod settings;
