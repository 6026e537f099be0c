#![no_main]

libfuzzer_sys::fuzz_target!(
    init: whence_fuzz::write_seeds("query"),
    |bytes: &[u8]| whence_fuzz::laws::query(bytes)
);
