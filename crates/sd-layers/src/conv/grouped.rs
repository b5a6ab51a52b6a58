//! Grouped convolution (AlexNet, Krizhevsky et al. 2012; as a means to compress: ResNeXt, Xie et
//! al. 2017, <https://arxiv.org/abs/1611.05431>), with ShuffleNet's channel shuffle (Zhang et al.
//! 2018, <https://arxiv.org/abs/1707.01083>).

use schemars::JsonSchema;
use sd_onnx::{Graph, Value};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use super::{ConvGeometry, Convolution};
use crate::onnx;
use crate::{Block, Cost, FeatureShape, Result};

/// Configuration of [`Grouped`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupedConfig {
    /// Number of groups; weights and products are divided by it.
    pub groups: i64,
    /// Interleave the output's groups, so that the next grouped layer mixes them.
    #[serde(default)]
    pub shuffle: bool,
}

/// A convolution in groups, each blind to the others' channels.
#[derive(Debug)]
pub struct Grouped {
    convolution: Convolution,
    shuffle: Option<i64>,
}

impl Grouped {
    /// A grouped convolution.
    ///
    /// # Errors
    /// See [`Convolution::new`].
    pub fn new(vs: &nn::Path, geometry: ConvGeometry, config: &GroupedConfig) -> Result<Self> {
        let convolution = Convolution::new(vs, geometry, config.groups)?;
        Ok(Self { convolution, shuffle: config.shuffle.then_some(config.groups) })
    }
}

impl nn::Module for Grouped {
    fn forward(&self, input: &Tensor) -> Tensor {
        let output = input.apply(&self.convolution);
        match self.shuffle {
            Some(groups) => shuffle_channels(&output, groups),
            None => output,
        }
    }
}

impl Block for Grouped {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        self.convolution.output_shape(input)
    }

    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        self.convolution.cost(input)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let output = self.convolution.onnx(graph, input, shape)?;
        let shape = self.output_shape(shape)?;
        Ok(match self.shuffle {
            Some(groups) => write_shuffle(graph, &output, shape, groups),
            None => output,
        })
    }
}

/// Channel `g · (C / groups) + i` becomes channel `i · groups + g`. Works on the last axis of the
/// channels-last view, so that the layout stays.
pub(crate) fn shuffle_channels(input: &Tensor, groups: i64) -> Tensor {
    let (n, c, h, w) = input.size4().expect("a feature map has four axes");
    input
        .permute([0, 2, 3, 1])
        .reshape([n, h, w, groups, c / groups])
        .transpose(3, 4)
        .reshape([n, h, w, c])
        .permute([0, 3, 1, 2])
}

/// Writes [`shuffle_channels`] of a map of this shape into an ONNX graph.
pub(crate) fn write_shuffle(
    graph: &mut Graph,
    input: &Value,
    shape: FeatureShape,
    groups: i64,
) -> Value {
    let FeatureShape { channels, height, width } = shape;
    let sides = [0, groups, channels / groups, height, width];
    let divided = onnx::reshaped(graph, input, &sides);
    let turned = onnx::turned(graph, &divided, &[0, 2, 1, 3, 4]);
    onnx::reshaped(graph, &turned, &[0, channels, height, width])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn shuffle_interleaves_the_groups() {
        let input = Tensor::arange(6, (Kind::Float, Device::Cpu)).view([1, 6, 1, 1]);
        let shuffled = Vec::<f32>::try_from(shuffle_channels(&input, 2).view([6])).unwrap();
        assert_eq!(shuffled, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }
}
