//! The model is checked: every state that can be reached, that no planted mistake stays unseen, and what the model takes
//! for granted of clocks.

mod checks;
mod clocks;
mod mistakes;
mod walks;
