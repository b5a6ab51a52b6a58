//! Depthwise-separable convolution (MobileNet, Howard et al. 2017,
//! <https://arxiv.org/abs/1704.04861>).

use tch::nn;

use super::{ConvGeometry, ConvKind, Convolution};
use crate::shape::Window;
use crate::{BatchNorm, Block, Result, Sequential};

/// A depthwise convolution, batch norm and ReLU, then a pointwise convolution.
pub struct DepthwiseSeparable;

impl ConvKind for DepthwiseSeparable {
    fn build(&self, vs: &nn::Path, geometry: ConvGeometry) -> Result<Box<dyn Block>> {
        let ConvGeometry { inputs, outputs, window } = geometry;
        let depthwise = ConvGeometry { inputs, outputs: inputs, window };
        let pointwise = ConvGeometry { inputs, outputs, window: Window::same(1, 1) };
        Ok(Box::new(
            Sequential::new()
                .then(Convolution::new(&(vs / "depthwise"), depthwise, inputs)?)
                .then(BatchNorm::relu(&(vs / "norm"), inputs))
                .then(Convolution::new(&(vs / "pointwise"), pointwise, 1)?),
        ))
    }

    fn name(&self) -> String {
        "depthwise_separable".to_owned()
    }
}
