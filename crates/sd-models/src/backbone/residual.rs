//! The residual blocks (He et al. 2016, <https://arxiv.org/abs/1512.03385>, figure 5).

use sd_layers::{
    AttentionConfig, BatchNorm, Block, ConvConfig, ConvGeometry, Convolution, Cost, FeatureShape,
    Result, Sequential, Window,
};
use sd_onnx::{Graph, Value};
use tch::{Tensor, nn};

/// relu(attention(norm(branch(x))) + shortcut(x)).
#[derive(Debug)]
pub struct Residual {
    branch: Sequential,
    norm: BatchNorm,
    /// Without attention, batch norm, sum and ReLU are one kernel.
    attention: Sequential,
    shortcut: Sequential,
}

/// The common options of a stage's blocks.
#[derive(Debug, Clone, Copy)]
pub struct BlockStyle<'a> {
    /// Kind of the 3×3 convolutions.
    pub conv: &'a ConvConfig,
    /// Attention at the end of the branch, before the sum.
    pub attention: &'a AttentionConfig,
}

impl Residual {
    /// One 3×3 convolution of `width` channels.
    pub fn single(vs: &nn::Path, style: BlockStyle, width: i64) -> Result<Self> {
        let geometry = ConvGeometry { inputs: width, outputs: width, window: Window::same(3, 1) };
        Ok(Self {
            branch: style.conv.get().build(&(vs / "conv"), geometry)?,
            norm: BatchNorm::new(&(vs / "norm"), width),
            attention: style.attention.get().build(&(vs / "attention"), width)?,
            shortcut: Sequential::new(),
        })
    }

    /// Two 3×3 convolutions: `inputs` to `width` channels.
    pub fn basic(
        vs: &nn::Path,
        style: BlockStyle,
        inputs: i64,
        width: i64,
        stride: i64,
    ) -> Result<Self> {
        let first = ConvGeometry { inputs, outputs: width, window: Window::same(3, stride) };
        let second = ConvGeometry { inputs: width, outputs: width, window: Window::same(3, 1) };
        let branch = Sequential::new()
            .then(style.conv.get().build(&(vs / "conv1"), first)?)
            .then(BatchNorm::relu(&(vs / "norm1"), width))
            .then(style.conv.get().build(&(vs / "conv2"), second)?);
        Ok(Self {
            branch,
            norm: BatchNorm::new(&(vs / "norm2"), width),
            attention: style.attention.get().build(&(vs / "attention"), width)?,
            shortcut: shortcut(vs, inputs, width, stride),
        })
    }

    /// 1×1, 3×3 and 1×1 convolutions: `inputs` to 4 · `width` channels. The 3×3 convolution has the
    /// stride, as in torchvision.
    pub fn bottleneck(
        vs: &nn::Path,
        style: BlockStyle,
        inputs: i64,
        width: i64,
        stride: i64,
    ) -> Result<Self> {
        let outputs = 4 * width;
        let middle =
            ConvGeometry { inputs: width, outputs: width, window: Window::same(3, stride) };
        let branch = Sequential::new()
            .then(Convolution::pointwise(&(vs / "conv1"), inputs, width))
            .then(BatchNorm::relu(&(vs / "norm1"), width))
            .then(style.conv.get().build(&(vs / "conv2"), middle)?)
            .then(BatchNorm::relu(&(vs / "norm2"), width))
            .then(Convolution::pointwise(&(vs / "conv3"), width, outputs));
        Ok(Self {
            branch,
            norm: BatchNorm::new(&(vs / "norm3"), outputs),
            attention: style.attention.get().build(&(vs / "attention"), outputs)?,
            shortcut: shortcut(vs, inputs, outputs, stride),
        })
    }
}

/// The identity, or a 1×1 convolution and batch norm if the shape changes.
fn shortcut(vs: &nn::Path, inputs: i64, outputs: i64, stride: i64) -> Sequential {
    if inputs == outputs && stride == 1 {
        return Sequential::new();
    }
    let vs = vs / "shortcut";
    let geometry = ConvGeometry { inputs, outputs, window: Window::same(1, stride) };
    Sequential::new()
        .then(Convolution::dense(&(&vs / "conv"), geometry))
        .then(BatchNorm::new(&(&vs / "norm"), outputs))
}

impl nn::ModuleT for Residual {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let branch = self.branch.forward_t(input, train);
        let shortcut = self.shortcut.forward_t(input, train);
        if self.attention.is_empty() {
            return self.norm.relu_of_sum(&branch, &shortcut, train);
        }
        let branch = self.attention.forward_t(&self.norm.forward_t(&branch, train), train);
        (branch + shortcut).relu_()
    }
}

impl Block for Residual {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        self.branch.output_shape(input)
    }

    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        let output = self.output_shape(input)?;
        let after_branch = self.norm.cost(output)? + self.attention.cost(output)?;
        Ok(self.branch.cost(input)? + after_branch + self.shortcut.cost(input)?)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let output = self.output_shape(shape)?;
        let branch = self.branch.onnx(graph, input, shape)?;
        let branch = self.norm.onnx(graph, &branch, output)?;
        let branch = self.attention.onnx(graph, &branch, output)?;
        let shortcut = self.shortcut.onnx(graph, input, shape)?;
        let sum = graph.node("Add", &[&branch, &shortcut], vec![]);
        Ok(graph.node("Relu", &[&sum], vec![]))
    }
}
