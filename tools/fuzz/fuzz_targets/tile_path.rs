#![no_main]

libfuzzer_sys::fuzz_target!(
    init: whence_fuzz::write_seeds("tile_path"),
    |bytes: &[u8]| whence_fuzz::laws::tile_path(bytes)
);
