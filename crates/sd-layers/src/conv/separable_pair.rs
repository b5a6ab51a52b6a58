//! The separable convolution of architecture search (NASNet, Zoph et al. 2018,
//! <https://arxiv.org/abs/1707.07012>; DARTS, Liu et al. 2019, <https://arxiv.org/abs/1806.09055>).

use tch::nn;

use super::{ConvGeometry, Convolution};
use crate::shape::Window;
use crate::{BatchNorm, Sequential};

/// A depthwise and a pointwise convolution, batch norm and ReLU, twice. The first pair has the
/// geometry's stride and keeps the channels, the second changes them.
pub fn separable_pair(vs: &nn::Path, geometry: ConvGeometry) -> Sequential {
    let ConvGeometry { inputs, outputs, window } = geometry;
    let second = Window { stride: 1, ..window };
    let pairs = [("first", inputs, window), ("second", outputs, second)];
    let mut layers = Sequential::new();
    for (name, outputs, window) in pairs {
        let vs = vs / name;
        layers = layers
            .then(Convolution::depthwise(&(&vs / "depthwise"), inputs, window))
            .then(Convolution::pointwise(&(&vs / "pointwise"), inputs, outputs))
            .then(BatchNorm::relu(&(&vs / "norm"), outputs));
    }
    layers
}
