//! Stories of members that share a store in memory.

mod anchors;
mod commits;
mod damage;
mod others;
mod starts;
mod world;
