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
    attention: Option<Box<dyn Block>>,
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

impl BlockStyle<'_> {
    fn attention(&self, vs: &nn::Path, channels: i64) -> Result<Option<Box<dyn Block>>> {
        match self.attention {
            AttentionConfig::None => Ok(None),
            attention => Ok(Some(attention.build(&(vs / "attention"), channels)?)),
        }
    }
}

impl Residual {
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
            .then(style.conv.build(&(vs / "conv1"), first)?)
            .then(BatchNorm::relu(&(vs / "norm1"), width))
            .then(style.conv.build(&(vs / "conv2"), second)?);
        Ok(Self {
            branch,
            norm: BatchNorm::new(&(vs / "norm2"), width),
            attention: style.attention(vs, width)?,
            shortcut: shortcut(vs, inputs, width, stride)?,
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
        let reduce = ConvGeometry { inputs, outputs: width, window: Window::same(1, 1) };
        let middle =
            ConvGeometry { inputs: width, outputs: width, window: Window::same(3, stride) };
        let expand = ConvGeometry { inputs: width, outputs, window: Window::same(1, 1) };
        let branch = Sequential::new()
            .then(Convolution::new(&(vs / "conv1"), reduce, 1)?)
            .then(BatchNorm::relu(&(vs / "norm1"), width))
            .then(style.conv.build(&(vs / "conv2"), middle)?)
            .then(BatchNorm::relu(&(vs / "norm2"), width))
            .then(Convolution::new(&(vs / "conv3"), expand, 1)?);
        Ok(Self {
            branch,
            norm: BatchNorm::new(&(vs / "norm3"), outputs),
            attention: style.attention(vs, outputs)?,
            shortcut: shortcut(vs, inputs, outputs, stride)?,
        })
    }
}

/// The identity, or a 1×1 convolution and batch norm if the shape changes.
fn shortcut(vs: &nn::Path, inputs: i64, outputs: i64, stride: i64) -> Result<Sequential> {
    if inputs == outputs && stride == 1 {
        return Ok(Sequential::new());
    }
    let vs = vs / "shortcut";
    let window = Window { kernel: 1, stride, padding: 0 };
    Ok(Sequential::new()
        .then(Convolution::new(&(&vs / "conv"), ConvGeometry { inputs, outputs, window }, 1)?)
        .then(BatchNorm::new(&(&vs / "norm"), outputs)))
}

impl nn::ModuleT for Residual {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let branch = self.branch.forward_t(input, train);
        let shortcut = self.shortcut.forward_t(input, train);
        match &self.attention {
            None => self.norm.relu_of_sum(&branch, &shortcut, train),
            Some(attention) => {
                let branch = attention.forward_t(&self.norm.forward_t(&branch, train), train);
                (branch + shortcut).relu_()
            }
        }
    }
}

impl Block for Residual {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        self.branch.output_shape(input)
    }

    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        let output = self.output_shape(input)?;
        let attention = match &self.attention {
            None => Cost::ZERO,
            Some(attention) => attention.cost(output)?,
        };
        let norm = self.norm.cost(output)?;
        Ok(self.branch.cost(input)? + norm + attention + self.shortcut.cost(input)?)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let output = self.output_shape(shape)?;
        let branch = self.branch.onnx(graph, input, shape)?;
        let mut branch = self.norm.onnx(graph, &branch, output)?;
        if let Some(attention) = &self.attention {
            branch = attention.onnx(graph, &branch, output)?;
        }
        let shortcut = self.shortcut.onnx(graph, input, shape)?;
        let sum = graph.node("Add", &[&branch, &shortcut], vec![]);
        Ok(graph.node("Relu", &[&sum], vec![]))
    }
}
