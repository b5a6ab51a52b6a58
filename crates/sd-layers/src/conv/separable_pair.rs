//! The separable convolution of architecture search (NASNet, Zoph et al. 2018,
//! <https://arxiv.org/abs/1707.07012>; DARTS, Liu et al. 2019, <https://arxiv.org/abs/1806.09055>).

use sd_onnx::{Graph, Value};
use tch::nn::ModuleT;
use tch::{Tensor, nn};

use super::{ConvGeometry, Convolution};
use crate::norm::BatchNorm;
use crate::shape::Window;
use crate::{Block, Cost, FeatureShape, Result, Sequential};

/// Twice a depthwise and a pointwise convolution, batch norm, ReLU. The first pair strides and
/// keeps the channels, the second changes them.
#[derive(Debug)]
pub struct SeparablePair(Sequential);

impl SeparablePair {
    /// Two separable convolutions, the first with the geometry's stride.
    ///
    /// # Errors
    /// See [`Convolution::new`].
    pub fn new(vs: &nn::Path, geometry: ConvGeometry) -> Result<Self> {
        let ConvGeometry { inputs, outputs, window } = geometry;
        let kept = Window { stride: 1, ..window };
        let pairs = [("first", inputs, window), ("second", outputs, kept)];
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
        Ok(Self(layers))
    }
}

impl ModuleT for SeparablePair {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.0.forward_t(input, train)
    }
}

impl Block for SeparablePair {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        self.0.output_shape(input)
    }

    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        self.0.cost(input)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        self.0.onnx(graph, input, shape)
    }
}
