//! One member's life as a state machine: joining, leases, batching, waiting for the others, catching up. Events in,
//! actions out, time an argument.
