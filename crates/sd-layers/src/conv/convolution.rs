//! The convolution itself, dense or in groups.

use sd_onnx::{Graph, Value, int};
use tch::{Kind, Tensor, nn};

use super::ConvGeometry;
use crate::error::positive;
use crate::init::uniform_fan_in;
use crate::kernel;
use crate::onnx;
use crate::precision::like;
use crate::shape::Window;
use crate::{Block, Cost, Error, FeatureShape, Result};

/// A two-dimensional convolution without bias: `[N, inputs, H, W]` to `[N, outputs, H', W']`.
///
/// With more than one group, output channel group i sees input channel group i alone.
#[derive(Debug)]
pub struct Convolution {
    weight: Tensor,
    geometry: ConvGeometry,
    groups: i64,
}

impl Convolution {
    /// A convolution in `groups` groups; 1 is a dense one.
    ///
    /// # Errors
    /// [`Error::Groups`] if the channels do not divide by `groups`, [`Error::Value`] if that is
    /// not positive.
    pub fn new(vs: &nn::Path, geometry: ConvGeometry, groups: i64) -> Result<Self> {
        let ConvGeometry { inputs, outputs, window } = geometry;
        let groups = positive("groups", groups)?;
        for (what, channels) in [("input channels", inputs), ("output channels", outputs)] {
            if channels % groups != 0 {
                return Err(Error::Groups { what, channels, groups });
            }
        }
        let size = [outputs, inputs / groups, window.kernel, window.kernel];
        let weight = vs.var("weight", &size, uniform_fan_in(size[1..].iter().product()));
        Ok(Self { weight, geometry, groups })
    }

    /// Whether nothing is learnt, and the weights lie as a product of matrices takes them.
    fn is_kept_for(&self, input: &Tensor) -> bool {
        let alike = self.weight.kind() == input.kind();
        !kernel::grad_enabled() && alike && kernel::is_channels_last(&self.weight)
    }

    /// A window of one position, as the product of matrices that it is. In `bf16` libtorch's
    /// convolution takes up to twenty times as long, for it brings the weights into another order
    /// at each step; in `f32` it is as fast on large maps.
    fn at_each_position(&self, input: &Tensor) -> Tensor {
        let ConvGeometry { inputs, outputs, .. } = self.geometry;
        let weight = like(&self.weight, input).view([outputs, inputs]);
        input.permute([0, 2, 3, 1]).linear(&weight, None::<Tensor>).permute([0, 3, 1, 2])
    }
}

/// Whether windows of the map are few enough for the product of matrices to be the faster way: on
/// 8×8 it is not.
fn is_small(map: &Tensor) -> bool {
    map.size()[2..].iter().product::<i64>() <= 16
}

/// Whether the map is so small, of one image or a few, that a convolution waits for its weights
/// alone: then in `f32` too a product of matrices is the faster way.
fn is_one_small(map: &Tensor) -> bool {
    map.size()[0] * map.size()[2] * map.size()[3] <= 16
}

impl nn::Module for Convolution {
    fn forward(&self, input: &Tensor) -> Tensor {
        let ConvGeometry { inputs, outputs, window } = self.geometry;
        let depthwise = self.groups > 1 && self.groups == inputs && self.groups == outputs;
        if depthwise && kernel::is_channels_last(input) {
            return kernel::depthwise(input, &self.weight, window);
        }
        let dense = self.groups == 1 && kernel::is_channels_last(input);
        let bf16 = input.kind() == Kind::BFloat16;
        if dense && bf16 && window == Window::same(1, 1) {
            return self.at_each_position(input);
        }
        if dense && (bf16 && is_small(input) || self.is_kept_for(input) && is_one_small(input)) {
            return kernel::product(input, &self.weight, window);
        }
        input.conv2d(
            &like(&self.weight, input),
            None::<Tensor>,
            [window.stride, window.stride],
            [window.padding, window.padding],
            [1, 1],
            self.groups,
        )
    }
}

impl Block for Convolution {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        let ConvGeometry { inputs, outputs, window } = self.geometry;
        input.with_channels(inputs, "convolution")?.slide(window, outputs)
    }

    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        let params = self.weight.numel() as u64;
        Ok(Cost { params, macs: params * self.output_shape(input)?.positions() })
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, _: FeatureShape) -> Result<Value> {
        let weight = onnx::whole(graph, sd_onnx::quantize::KERNEL, &self.weight);
        let mut attributes = onnx::sliding(self.geometry.window);
        attributes.push(int("group", self.groups));
        Ok(graph.node("Conv", &[input, &weight], attributes))
    }
}
