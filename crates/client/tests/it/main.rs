//! The engine against HSMs that the tests play: real sockets, real TLS, answers as each story wants them.

mod certificates;
mod connections;
mod failover;
mod fork;
mod logins;
mod objects;
mod pool;
mod random;
mod session_keys;
mod world;
