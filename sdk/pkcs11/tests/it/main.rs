//! The library without a cluster: its headers, what it shows to the world, what it says when it can't be used.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod headers;
mod host;
mod library;
mod standard;
