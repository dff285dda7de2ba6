#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: strongroom_fuzz_targets::write_seeds("derivations"), |data: &[u8]| strongroom_fuzz_targets::derivations::run(data));
