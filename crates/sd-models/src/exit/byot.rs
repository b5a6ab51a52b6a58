//! The shallow classifier of Be Your Own Teacher (Zhang et al. 2019,
//! <https://arxiv.org/abs/1905.08094>), the heavy baseline.

use sd_layers::{BatchNorm, ConvGeometry, Convolution, Linear, Sequential, Window};
use tch::nn;

use super::{ExitGeometry, Pooled};

/// The bottleneck with M = D/4, then global pool and linear.
///
/// # Errors
/// Says which layer does not fit.
pub fn byot(vs: &nn::Path, geometry: ExitGeometry) -> sd_layers::Result<Pooled> {
    let ExitGeometry { last, classes, .. } = geometry;
    let body = bottleneck(vs, geometry, (last.channels / 4).max(1))?;
    Ok(Pooled { body, linear: Linear::new(&(vs / "linear"), last.channels, classes) })
}

/// 1×1 C to M, k×k with stride k, 1×1 M to D, each with batch norm and ReLU; k brings the map to
/// the last stage's size.
pub(super) fn bottleneck(
    vs: &nn::Path,
    geometry: ExitGeometry,
    middle: i64,
) -> sd_layers::Result<Sequential> {
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
            .then(Convolution::new(&(&vs / "conv"), geometry, 1)?)
            .then(BatchNorm::relu(&(&vs / "norm"), outputs));
    }
    Ok(body)
}
