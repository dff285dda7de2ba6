//! Stories of a member's life.

mod anchors;
mod batches;
mod ledgers;
mod lives;
mod model;
mod rollbacks;
mod waiting;
