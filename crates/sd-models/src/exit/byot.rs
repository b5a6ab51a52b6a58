//! The shallow classifier of Be Your Own Teacher (Zhang et al. 2019,
//! <https://arxiv.org/abs/1905.08094>), the heavy baseline.

use sd_layers::{BatchNormRelu, ConvGeometry, Convolution, Linear, Sequential, Window};
use tch::nn;

use super::{ExitGeometry, Pooled};

/// 1×1 C to M, k×k with stride k, 1×1 M to D, each with batch norm and ReLU, then global pool and
/// linear; M = D/4, and k brings the map to the last stage's size.
///
/// # Errors
/// Says which layer does not fit.
pub fn byot(vs: &nn::Path, geometry: ExitGeometry) -> sd_layers::Result<Pooled> {
    let ExitGeometry { map, last, classes } = geometry;
    let (width, middle) = (last.channels, (last.channels / 4).max(1));
    let ratio = (map.height / last.height).max(1);
    let layers = [
        ("reduce", map.channels, middle, Window::same(1, 1)),
        ("shrink", middle, middle, Window::tiles(ratio)),
        ("expand", middle, width, Window::same(1, 1)),
    ];
    let mut body = Sequential::new();
    for (name, inputs, outputs, window) in layers {
        let vs = vs / name;
        let geometry = ConvGeometry { inputs, outputs, window };
        body = body
            .then(Convolution::new(&(&vs / "conv"), geometry, 1)?)
            .then(BatchNormRelu::new(&(&vs / "norm"), outputs));
    }
    Ok(Pooled { body, linear: Linear::new(&(vs / "linear"), width, classes) })
}
