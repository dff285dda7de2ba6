//! Tickets in clear.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_core::Ticket;

fuzz_target!(|data: &[u8]| {
    for bytes in [data.to_vec(), [&[1], data].concat()] {
        if let Ok(ticket) = Ticket::decode(&bytes) {
            assert_eq!(ticket.encode(), bytes);
        }
    }
});
