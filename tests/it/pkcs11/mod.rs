//! The PKCS #11 library, loaded by C programs.

mod objects;
