//! The separable convolution of architecture search (NASNet, Zoph et al. 2018,
//! <https://arxiv.org/abs/1707.07012>; DARTS, Liu et al. 2019, <https://arxiv.org/abs/1806.09055>).

use tch::nn;

use super::{ConvGeometry, Convolution};
use crate::shape::Window;
use crate::{BatchNorm, Result, Sequential};

/// A depthwise and a pointwise convolution, batch norm and ReLU, twice. The first pair has the
/// geometry's stride and keeps the channels, the second changes them.
///
/// # Errors
/// See [`Convolution::new`].
pub fn separable_pair(vs: &nn::Path, geometry: ConvGeometry) -> Result<Sequential> {
    let ConvGeometry { inputs, outputs, window } = geometry;
    let second = Window { stride: 1, ..window };
    let pairs = [("first", inputs, window), ("second", outputs, second)];
    let mut layers = Sequential::new();
    for (name, outputs, window) in pairs {
        let vs = vs / name;
        let depthwise = ConvGeometry { inputs, outputs: inputs, window };
        let pointwise = ConvGeometry { inputs, outputs, window: Window::same(1, 1) };
        layers = layers
            .then(Convolution::new(&(&vs / "depthwise"), depthwise, inputs)?)
            .then(Convolution::new(&(&vs / "pointwise"), pointwise, 1)?)
            .then(BatchNorm::relu(&(&vs / "norm"), outputs));
    }
    Ok(layers)
}
