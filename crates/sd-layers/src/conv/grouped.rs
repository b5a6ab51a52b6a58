//! Grouped convolution (AlexNet, Krizhevsky et al. 2012; as a means to compress: ResNeXt, Xie et
//! al. 2017, <https://arxiv.org/abs/1611.05431>), with ShuffleNet's channel shuffle (Zhang et al.
//! 2018, <https://arxiv.org/abs/1707.01083>).

use schemars::JsonSchema;
use sd_onnx::{Graph, Value};
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use super::{ConvGeometry, ConvKind, Convolution};
use crate::onnx;
use crate::{Block, Cost, FeatureShape, Result, Sequential};

/// A convolution in groups of channels that do not mix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupedConfig {
    /// Number of groups, which divides weights and multiply-accumulates.
    pub groups: i64,
    /// Interleave the output's groups, so that the next grouped layer mixes them.
    #[serde(default)]
    pub shuffle: bool,
}

impl ConvKind for GroupedConfig {
    fn build(&self, vs: &nn::Path, geometry: ConvGeometry) -> Result<Sequential> {
        let grouped = Sequential::new().then(Convolution::new(vs, geometry, self.groups)?);
        Ok(if self.shuffle { grouped.then(ChannelShuffle(self.groups)) } else { grouped })
    }

    fn name(&self) -> String {
        format!("grouped{}", self.groups)
    }
}

impl Examples for GroupedConfig {
    fn examples() -> Vec<Self> {
        [false, true].map(|shuffle| Self { groups: 4, shuffle }).into()
    }
}

/// [`shuffle_channels`] with this many groups.
#[derive(Debug)]
struct ChannelShuffle(i64);

impl nn::Module for ChannelShuffle {
    fn forward(&self, input: &Tensor) -> Tensor {
        shuffle_channels(input, self.0)
    }
}

impl Block for ChannelShuffle {
    fn cost(&self, _: FeatureShape) -> Result<Cost> {
        Ok(Cost::ZERO)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        Ok(write_shuffle(graph, input, shape, self.0))
    }
}

/// Moves channel `g · (C / groups) + i` to `i · groups + g`. Works on the last axis of the
/// channels-last view to keep the memory layout.
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
    let transposed = onnx::transposed(graph, &divided, &[0, 2, 1, 3, 4]);
    onnx::reshaped(graph, &transposed, &[0, channels, height, width])
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
