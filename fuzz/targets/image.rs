//! A JPEG, PNG or WebP file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sd_data::fuzzing::image(bytes));
