//! The body of the shallow classifiers of Be Your Own Teacher and SCAN.

use sd_layers::{BatchNorm, ConvGeometry, Convolution, Sequential, Window};
use tch::nn;

use super::ExitGeometry;

/// 1×1 C to `middle`, k×k with stride k, 1×1 `middle` to D, each with batch norm and ReLU; k reduces
/// the map to the last stage's size.
pub fn bottleneck(vs: &nn::Path, geometry: ExitGeometry, middle: i64) -> Sequential {
    let ExitGeometry { map, last, .. } = geometry;
    let ratio = (map.height / last.height).max(1);
    let layers = [
        ("reduce", map.channels, middle, Window::same(1, 1)),
        ("shrink", middle, middle, Window::tiles(ratio)),
        ("expand", middle, last.channels, Window::same(1, 1)),
    ];
    let mut body = Sequential::new();
    for (name, inputs, outputs, window) in layers {
        let vs = vs / name;
        let geometry = ConvGeometry { inputs, outputs, window };
        body = body
            .then(Convolution::dense(&(&vs / "conv"), geometry))
            .then(BatchNorm::relu(&(&vs / "norm"), outputs));
    }
    body
}
