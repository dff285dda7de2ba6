//! Stories of a member's life.

mod anchors;
mod batches;
mod ledgers;
mod lives;
mod rollbacks;
mod waiting;
