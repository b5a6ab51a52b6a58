//! Depthwise-separable convolution (MobileNet, Howard et al. 2017,
//! <https://arxiv.org/abs/1704.04861>).

use sd_onnx::{Graph, Value};
use tch::{Tensor, nn};

use super::{ConvGeometry, Convolution};
use crate::norm::BatchNorm;
use crate::shape::Window;
use crate::{Block, Cost, FeatureShape, Result, Sequential};

/// A depthwise convolution, batch norm and ReLU, then a pointwise convolution: the window slides
/// over each channel alone, a 1×1 convolution mixes the channels.
#[derive(Debug)]
pub struct DepthwiseSeparable(Sequential);

impl DepthwiseSeparable {
    /// A depthwise-separable convolution.
    ///
    /// # Errors
    /// See [`Convolution::new`].
    pub fn new(vs: &nn::Path, geometry: ConvGeometry) -> Result<Self> {
        let ConvGeometry { inputs, outputs, window } = geometry;
        let depthwise = ConvGeometry { inputs, outputs: inputs, window };
        let pointwise = ConvGeometry { inputs, outputs, window: Window::same(1, 1) };
        Ok(Self(
            Sequential::new()
                .then(Convolution::new(&(vs / "depthwise"), depthwise, inputs)?)
                .then(BatchNorm::relu(&(vs / "norm"), inputs))
                .then(Convolution::new(&(vs / "pointwise"), pointwise, 1)?),
        ))
    }
}

impl nn::ModuleT for DepthwiseSeparable {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.0.forward_t(input, train)
    }
}

impl Block for DepthwiseSeparable {
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
