//! Loading and running of an exported network.

#![no_main]

use sd_infer::{Classifier, Options};
use std::path::Path;
use std::sync::Once;

static QUIET: Once = Once::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // libFuzzer's hook aborts on every panic, but sd-infer turns those of engines into errors. A
    // panic that is not caught still aborts.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let files = vec![bytes.to_vec()];
    if let Ok(mut classifier) = Classifier::load(files, Path::new("a.onnx"), Options::default()) {
        let input = &classifier.metadata().input;
        if input.height.max(input.width) <= 32 {
            let _ = classifier.classify(&image::DynamicImage::new_luma8(4, 4));
        }
    }
});
