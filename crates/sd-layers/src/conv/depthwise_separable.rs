//! Depthwise-separable convolution (MobileNet, Howard et al. 2017,
//! <https://arxiv.org/abs/1704.04861>).

use tch::nn;

use super::{ConvGeometry, ConvKind, Convolution};
use crate::{BatchNorm, Result, Sequential};

/// A depthwise convolution, batch norm and ReLU, then a pointwise convolution.
pub struct DepthwiseSeparable;

impl ConvKind for DepthwiseSeparable {
    fn build(&self, vs: &nn::Path, geometry: ConvGeometry) -> Result<Sequential> {
        let ConvGeometry { inputs, outputs, window } = geometry;
        Ok(Sequential::new()
            .then(Convolution::depthwise(&(vs / "depthwise"), inputs, window))
            .then(BatchNorm::relu(&(vs / "norm"), inputs))
            .then(Convolution::pointwise(&(vs / "pointwise"), inputs, outputs)))
    }

    fn name(&self) -> String {
        "depthwise_separable".to_owned()
    }
}
