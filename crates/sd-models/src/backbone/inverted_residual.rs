//! The inverted residual block (Sandler et al. 2018, <https://arxiv.org/abs/1801.04381>,
//! figure 3b and table 1).

use sd_layers::{
    BatchNorm, Block, ConvGeometry, Convolution, Cost, FeatureShape, Result, Sequential, Window,
};
use sd_onnx::{Graph, Value};
use tch::{Tensor, nn};

/// A 1×1 convolution that expands, a depthwise 3×3 convolution, and a 1×1 convolution that projects,
/// without activation; plus the input if the shape is the same.
#[derive(Debug)]
pub struct InvertedResidual {
    branch: Sequential,
    adds_input: bool,
}

impl InvertedResidual {
    /// `inputs` to `outputs` channels through `expansion` · `inputs`; an expansion of 1 omits the first
    /// convolution.
    pub fn new(
        vs: &nn::Path,
        inputs: i64,
        outputs: i64,
        expansion: i64,
        stride: i64,
    ) -> Result<Self> {
        let middle = inputs * expansion;
        let (pointwise, window) = (Window::same(1, 1), Window::same(3, stride));
        let mut branch = Sequential::new();
        if expansion != 1 {
            let expand = ConvGeometry { inputs, outputs: middle, window: pointwise };
            branch = with_relu6(branch, &(vs / "expand"), expand, 1)?;
        }
        let depthwise = ConvGeometry { inputs: middle, outputs: middle, window };
        let project = ConvGeometry { inputs: middle, outputs, window: pointwise };
        let branch = with_relu6(branch, &(vs / "depthwise"), depthwise, middle)?
            .then(Convolution::new(&(vs / "project" / "conv"), project, 1)?)
            .then(BatchNorm::new(&(vs / "project" / "norm"), outputs));
        Ok(Self { branch, adds_input: stride == 1 && inputs == outputs })
    }
}

/// Appends a convolution with batch norm and ReLU6 to `blocks`.
pub fn with_relu6(
    blocks: Sequential,
    vs: &nn::Path,
    geometry: ConvGeometry,
    groups: i64,
) -> Result<Sequential> {
    Ok(blocks
        .then(Convolution::new(&(vs / "conv"), geometry, groups)?)
        .then(BatchNorm::relu6(&(vs / "norm"), geometry.outputs)))
}

impl nn::ModuleT for InvertedResidual {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let branch = self.branch.forward_t(input, train);
        if self.adds_input { branch + input } else { branch }
    }
}

impl Block for InvertedResidual {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        self.branch.output_shape(input)
    }

    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        self.branch.cost(input)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let branch = self.branch.onnx(graph, input, shape)?;
        Ok(if self.adds_input { graph.node("Add", &[&branch, input], vec![]) } else { branch })
    }
}
