//! The convolution block, dense or in groups.

use sd_onnx::{Graph, Value, int};
use tch::{Tensor, nn};

use crate::error::positive;
use crate::init::uniform_fan_in;
use crate::kernel;
use crate::onnx;
use crate::shape::Window;
use crate::{Block, Cost, Error, FeatureShape, Result};

/// Channels that a convolution maps, and its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Input channels.
    pub inputs: i64,
    /// Output channels.
    pub outputs: i64,
    /// The window.
    pub window: Window,
}

/// A two-dimensional convolution without bias: `[N, inputs, H, W]` to `[N, outputs, H', W']`.
///
/// With several groups, group i of the output channels depends only on group i of the input channels.
#[derive(Debug)]
pub struct Convolution {
    weight: Tensor,
    geometry: ConvGeometry,
    groups: i64,
}

impl Convolution {
    /// A dense convolution.
    pub fn dense(vs: &nn::Path, geometry: ConvGeometry) -> Self {
        Self::in_groups(vs, geometry, 1)
    }

    /// A convolution of each channel with its own window.
    pub fn depthwise(vs: &nn::Path, channels: i64, window: Window) -> Self {
        Self::in_groups(vs, ConvGeometry { inputs: channels, outputs: channels, window }, channels)
    }

    /// A dense 1×1 convolution.
    pub fn pointwise(vs: &nn::Path, inputs: i64, outputs: i64) -> Self {
        Self::dense(vs, ConvGeometry { inputs, outputs, window: Window::same(1, 1) })
    }

    /// A convolution in `groups` groups.
    ///
    /// # Errors
    /// [`Error::Groups`] if the channels do not divide by `groups`, [`Error::Value`] if `groups` is
    /// not positive.
    pub fn new(vs: &nn::Path, geometry: ConvGeometry, groups: i64) -> Result<Self> {
        let groups = positive("groups", groups)?;
        let (inputs, outputs) = (geometry.inputs, geometry.outputs);
        for (what, channels) in [("input channels", inputs), ("output channels", outputs)] {
            if channels % groups != 0 {
                return Err(Error::Groups { what, channels, groups });
            }
        }
        Ok(Self::in_groups(vs, geometry, groups))
    }

    fn in_groups(vs: &nn::Path, geometry: ConvGeometry, groups: i64) -> Self {
        let ConvGeometry { inputs, outputs, window } = geometry;
        let size = [outputs, inputs / groups, window.kernel, window.kernel];
        let weight = vs.var("weight", &size, uniform_fan_in(size[1..].iter().product()));
        Self { weight, geometry, groups }
    }
}

impl nn::Module for Convolution {
    fn forward(&self, input: &Tensor) -> Tensor {
        kernel::convolution(input, &self.weight, self.geometry.window, self.groups)
    }
}

impl Block for Convolution {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        let ConvGeometry { inputs, outputs, window } = self.geometry;
        input.expect_channels(inputs, "convolution")?.slide(window, outputs)
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
