//! Worlds of a few seeds: that they keep the promises, that a seed decides everything, and that planted bugs are found.
//! `cargo xtask sim` runs thousands.

mod found;
mod mutants;
mod worlds;
