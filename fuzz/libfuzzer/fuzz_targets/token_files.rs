#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: strongroom_fuzz_targets::write_seeds("token_files"), |data: &[u8]| strongroom_fuzz_targets::token_files::run(data));
