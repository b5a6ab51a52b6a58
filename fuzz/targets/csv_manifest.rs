//! A table of image files.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sd_data::dataset::fuzzing::csv_manifest(bytes));
