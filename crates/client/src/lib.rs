//! The engine behind every door.

pub mod reference_pem;
