//! The attention before the shallow classifiers of *Self-Distillation: Towards Efficient and Compact
//! Neural Networks* (Zhang et al., TPAMI 2021, <https://doi.org/10.1109/TPAMI.2021.3067100>), as in
//! the authors' code: a baseline.

use tch::nn::ModuleT;
use tch::{Tensor, nn};

use crate::shape::Window;
use crate::{
    BatchNormRelu, Block, ConvGeometry, Cost, FeatureShape, Result, SeparablePair, Sequential,
};

/// The map weighed by σ of itself through separable convolutions with stride 2, batch norm, ReLU
/// and bilinear upsampling: 2C² + 18C parameters and three batch norms. No weight is below ½.
#[derive(Debug)]
pub struct TpamiAttention(Sequential);

impl TpamiAttention {
    /// The attention for this many channels.
    ///
    /// # Errors
    /// See [`SeparablePair::new`].
    pub fn new(vs: &nn::Path, channels: i64) -> Result<Self> {
        let halve =
            ConvGeometry { inputs: channels, outputs: channels, window: Window::same(3, 2) };
        Ok(Self(
            Sequential::new()
                .then(SeparablePair::new(&(vs / "separable"), halve)?)
                .then(BatchNormRelu::new(&(vs / "norm"), channels)),
        ))
    }
}

impl ModuleT for TpamiAttention {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let half = self.0.forward_t(input, train);
        let map = half.upsample_bilinear2d(&input.size()[2..], false, None, None);
        input * map.sigmoid()
    }
}

impl Block for TpamiAttention {
    fn cost(&self, input: FeatureShape) -> Result<(Cost, FeatureShape)> {
        Ok((self.0.cost(input)?.0, input))
    }
}
