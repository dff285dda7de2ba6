//! End-to-end tests: real processes, real loaders, real clients.

mod cli;
mod cluster;
mod configure;
mod consistency;
mod crash;
mod defence;
mod disk;
mod engine;
mod failover;
mod full;
mod golden;
mod hand;
mod https;
mod integrity;
mod interactive;
mod mtls;
mod network;
mod rotation;
mod secrecy;
mod sessions;
mod sharing;
mod signatures;
mod stopped;
mod trouble;
mod vanished;
mod wrapping;
