//! The inverted residual block (Sandler et al. 2018, <https://arxiv.org/abs/1801.04381>,
//! figure 3b and table 1).

use sd_layers::{BatchNorm, Block, Convolution, Cost, FeatureShape, Result, Sequential, Window};
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
    pub fn new(vs: &nn::Path, inputs: i64, outputs: i64, expansion: i64, stride: i64) -> Self {
        let middle = inputs * expansion;
        let mut branch = Sequential::new();
        if expansion != 1 {
            let vs = vs / "expand";
            branch = branch
                .then(Convolution::pointwise(&(&vs / "conv"), inputs, middle))
                .then(BatchNorm::relu6(&(&vs / "norm"), middle));
        }
        let (depthwise, project) = (vs / "depthwise", vs / "project");
        let branch = branch
            .then(Convolution::depthwise(&(&depthwise / "conv"), middle, Window::same(3, stride)))
            .then(BatchNorm::relu6(&(&depthwise / "norm"), middle))
            .then(Convolution::pointwise(&(&project / "conv"), middle, outputs))
            .then(BatchNorm::new(&(&project / "norm"), outputs));
        Self { branch, adds_input: stride == 1 && inputs == outputs }
    }
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
