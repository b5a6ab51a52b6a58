//! The tar file of a CIFAR data set.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sd_data::dataset::fuzzing::cifar_archive(bytes));
