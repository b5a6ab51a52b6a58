//! The records of a run.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sd_report::fuzzing::record(bytes));
