//! The bytes of a whole file: the zip reader, and what lies behind it where checksums are right.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stemson_fuzz::exercise(data));
