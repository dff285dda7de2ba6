//! Stories of members that share a store: in memory, whose failures a test orders, and on SQLite.

mod anchors;
mod bytes;
mod clones;
mod commits;
mod damage;
mod deltas;
mod others;
mod rollbacks;
mod sqlite;
mod starts;
mod times;
mod world;
