//! An HSM over its sockets: TLS, frames, limits, the control socket, the process.

mod client;
mod control;
mod frames;
mod keys;
mod limits;
mod mtls;
mod process;
mod slow;
mod strangers;
mod world;
