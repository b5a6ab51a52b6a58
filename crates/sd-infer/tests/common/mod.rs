//! Metadata of made networks.

use sd_onnx::{Exit, Input, Layout, METADATA_VERSION, Metadata, Resize};

/// Metadata of a network of two classes on grey images of this side.
pub fn metadata(side: usize, classes: [&str; 2], exits: Vec<Exit>) -> Metadata {
    Metadata {
        metadata_version: METADATA_VERSION,
        version: "0".to_owned(),
        name: "made".to_owned(),
        input: Input {
            channels: 1,
            height: side,
            width: side,
            border: 0,
            resize: Resize::Triangle,
            layout: Layout::Nchw,
            mean: vec![0.5],
            deviation: vec![0.5],
        },
        classes: classes.map(str::to_owned).into(),
        deployed_macs: exits.last().map_or(0, |exit| exit.macs),
        exits,
        ensemble: false,
        ensemble_temperature: 1.0,
        carry: 0.0,
        segment: None,
        int8: None,
        configuration: String::new(),
        configuration_sha256: String::new(),
    }
}
