//! # Room: sim (layer 5)
//!
//! Owns the simulated world: members, a store, a network, clients and faults in virtual time, all decided by one seed
//! ([`world`], described in `docs/internals/simulation.md`), and bugs planted in it that the checkers must find ([`Mutant`]).
//! And the judgement over what clients saw: [`history`] says whether the answers that were recorded keep the promises of
//! the store (linearizable changes, nothing revoked honoured after its acknowledgement, nobody sees time go back, a change
//! acts once). The same checker judges simulated worlds and real processes (`cargo xtask chaos`).
//!
//! * May use: every room.
//! * Never: what another room decides, decided again here; in [`history`], anything but what clients saw: no record,
//!   revision or log of a member. Input, output, a clock, threads, randomness other than that of a seed.
#![forbid(unsafe_code)]

pub mod history;
mod mutant;
mod runs;
pub mod world;

pub use mutant::Mutant;
pub use runs::{Summary, run_seeds};
