//! The residual blocks (He et al. 2016, <https://arxiv.org/abs/1512.03385>, figure 5).

use sd_layers::{
    AttentionConfig, BatchNorm, BatchNormRelu, Block, ConvConfig, ConvGeometry, Convolution, Cost,
    FeatureShape, Result, Sequential, Window,
};
use tch::{Tensor, nn};

/// relu(branch(x) + shortcut(x)).
#[derive(Debug)]
pub struct Residual {
    branch: Sequential,
    shortcut: Sequential,
}

/// What the blocks of a stage have in common.
#[derive(Debug, Clone, Copy)]
pub struct BlockStyle<'a> {
    /// Kind of the 3×3 convolutions.
    pub conv: &'a ConvConfig,
    /// Attention at the end of the branch, before the sum.
    pub attention: &'a AttentionConfig,
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
            .then(BatchNormRelu::new(&(vs / "norm1"), width))
            .then(style.conv.build(&(vs / "conv2"), second)?)
            .then(BatchNorm::new(&(vs / "norm2"), width))
            .then(style.attention.build(&(vs / "attention"), width)?);
        Ok(Self { branch, shortcut: shortcut(vs, inputs, width, stride)? })
    }

    /// 1×1, 3×3, 1×1 convolutions: `inputs` to 4 · `width` channels. The stride is the 3×3
    /// convolution's, as in torchvision.
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
            .then(BatchNormRelu::new(&(vs / "norm1"), width))
            .then(style.conv.build(&(vs / "conv2"), middle)?)
            .then(BatchNormRelu::new(&(vs / "norm2"), width))
            .then(Convolution::new(&(vs / "conv3"), expand, 1)?)
            .then(BatchNorm::new(&(vs / "norm3"), outputs))
            .then(style.attention.build(&(vs / "attention"), outputs)?);
        Ok(Self { branch, shortcut: shortcut(vs, inputs, outputs, stride)? })
    }
}

/// The identity, or a 1×1 convolution and batch norm where the shape changes.
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
        (branch + self.shortcut.forward_t(input, train)).relu_()
    }
}

impl Block for Residual {
    fn cost(&self, input: FeatureShape) -> Result<(Cost, FeatureShape)> {
        let (branch, output) = self.branch.cost(input)?;
        let (shortcut, _) = self.shortcut.cost(input)?;
        Ok((branch + shortcut, output))
    }
}
