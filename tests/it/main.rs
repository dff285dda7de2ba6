//! End-to-end tests: real processes, real loaders, real clients.

mod cli;
mod cluster;
mod consistency;
mod crash;
mod engine;
mod failover;
mod https;
mod integrity;
mod interactive;
mod secrecy;
mod sessions;
mod signatures;
mod trouble;
