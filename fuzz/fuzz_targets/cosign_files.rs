#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bonded_fuzz::run("cosign_files", bytes));
