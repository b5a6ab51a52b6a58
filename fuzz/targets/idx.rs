//! An IDX file, plain or gzip.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sd_data::dataset::fuzzing::idx(bytes));
