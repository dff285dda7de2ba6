//! # Room: ffi (layer 0)
//!
//! Owns what every C door does before and after its real work: trapping panics at an entry point ([`guard`]), turning
//! pointers and lengths of a caller into slices ([`mod@pointer`]); and what a library must know about the process it lives
//! in: whether it was forked, whether it may trust its environment ([`fork`]), what may come of writing ([`output`]).
//!
//! * May use: nothing of the project.
//! * Never: know a door's status codes, log, hold state of a door, do anything a safe function could do.
//!
//! `unsafe` lives here so that doors have little of it. A pointer can be checked for being null, never for being right:
//! what remains the caller's duty stands in each function's `# Safety`.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic"))]

pub mod fork;
pub mod guard;
pub mod output;
pub mod pointer;

pub use fork::secure_mode;
pub use guard::{guarded, guarded_whole};
pub use pointer::PointerError;
