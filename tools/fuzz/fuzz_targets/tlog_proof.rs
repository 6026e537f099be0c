#![no_main]

libfuzzer_sys::fuzz_target!(
    init: whence_fuzz::write_seeds("tlog_proof"),
    |bytes: &[u8]| whence_fuzz::laws::tlog_proof(bytes)
);
