//! Decoding of ONNX files and their metadata.

#![no_main]

use prost::Message;
use sd_onnx::proto::ModelProto;
use sd_onnx::{Metadata, read_metadata};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(metadata) = read_metadata(bytes) {
        assert!(!metadata.exits.is_empty() && !metadata.classes.is_empty());
    }
    let _ = ModelProto::decode(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Metadata::parse(text);
    }
});
