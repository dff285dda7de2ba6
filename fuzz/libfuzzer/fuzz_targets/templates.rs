#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: strongroom_fuzz_targets::write_seeds("templates"), |data: &[u8]| strongroom_fuzz_targets::templates::run(data));
