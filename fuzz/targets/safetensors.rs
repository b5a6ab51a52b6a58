//! A file of weights or a checkpoint, up to where its tensors are made.

#![no_main]

#[allow(dead_code, reason = "what writes a file is not needed here")]
#[path = "../../crates/sd-models/src/weights/checked.rs"]
mod checked;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(checked) = checked::Checked::new(bytes) {
        let held: usize = checked.file.iter().map(|(_, view)| view.data().len()).sum();
        assert!(held <= bytes.len());
        for (_, view) in checked.file.iter() {
            let elements: usize = view.shape().iter().product();
            assert!(elements <= bytes.len());
        }
    }
});
