#![no_main]

libfuzzer_sys::fuzz_target!(
    init: whence_fuzz::write_seeds("otlp"),
    |bytes: &[u8]| whence_fuzz::laws::otlp(bytes)
);
