//! A file of weights or a checkpoint, before its tensors are made.

#![no_main]

use sd_weights::WeightFile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(WeightFile { tensors, .. }) = WeightFile::parse(bytes) {
        let held: usize = tensors.iter().map(|(_, view)| view.data().len()).sum();
        assert!(held <= bytes.len());
        for (_, view) in tensors.iter() {
            let elements: usize = view.shape().iter().product();
            assert!(elements <= bytes.len());
        }
    }
});
