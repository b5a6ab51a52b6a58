//! Shuffle attention, SA-Net (Zhang and Yang 2021, <https://arxiv.org/abs/2102.00240>).

use schemars::JsonSchema;
use sd_onnx::{Graph, Value, int};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use super::Attention;
use crate::conv::{shuffle_channels, write_shuffle};
use crate::error::positive;
use crate::onnx;
use crate::precision::like;
use crate::{Block, Cost, Error, FeatureShape, Result, Sequential};

/// ε of PyTorch's group norm.
const EPSILON: f64 = 1e-5;

/// SA-Net: in each group, half of the channels scaled channel by channel and half position by
/// position; then the channels of both halves interleaved. The groups share their 2C/G parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShuffleConfig {
    /// G; the channels divide by 2G. By default the paper's 64, or half the channels if that is
    /// less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<i64>,
}

impl Attention for ShuffleConfig {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Sequential> {
        let groups = self.groups.unwrap_or_else(|| (channels / 2).clamp(1, 64));
        let halves = 2 * positive("shuffle.groups", groups)?;
        if channels % halves != 0 {
            let what = "shuffle channels, two halves a group,";
            return Err(Error::Groups { what, channels, groups: halves });
        }
        let gate = |name| Gate::new(&(vs / name), channels / halves);
        Ok(Sequential::new().then(Shuffle {
            channel: gate("channel"),
            spatial: gate("spatial"),
            groups,
        }))
    }
}

#[derive(Debug)]
struct Shuffle {
    channel: Gate,
    spatial: Gate,
    groups: i64,
}

impl nn::Module for Shuffle {
    /// On `[N, H, W, G, 2, C/2G]`, so that the layout stays.
    fn forward(&self, input: &Tensor) -> Tensor {
        let (n, c, h, w) = input.size4().expect("a feature map has four axes");
        let positions = [1i64, 2];
        let groups =
            input.permute([0, 2, 3, 1]).reshape([n, h, w, self.groups, 2, c / self.groups / 2]);

        let by_channel = groups.select(4, 0);
        let means = by_channel.mean_dim(positions.as_slice(), true, None);
        let by_channel = by_channel * means.apply(&self.channel);

        let by_position = groups.select(4, 1);
        let centred = &by_position - by_position.mean_dim(positions.as_slice(), true, None);
        let variance = centred.square().mean_dim(positions.as_slice(), true, None);
        let normalised = centred * (variance + EPSILON).rsqrt();
        let by_position = by_position * normalised.apply(&self.spatial);

        let both = Tensor::stack(&[by_channel, by_position], 4);
        shuffle_channels(&both.reshape([n, h, w, c]).permute([0, 3, 1, 2]), 2)
    }
}

impl Block for Shuffle {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        let half = self.channel.weight.numel() as i64;
        input.expect_channels(2 * self.groups * half, "shuffle attention")?;
        Ok(Cost { params: 4 * half as u64, macs: 0 })
    }

    /// On `[N, G, C/G, H·W]`.
    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let FeatureShape { channels, height, width } = shape;
        let half = self.channel.weight.numel() as i64;
        let sides = [0, self.groups, 2 * half, height * width];
        let groups = onnx::reshaped(graph, input, &sides);
        let [by_channel, by_position] = onnx::split(graph, &groups, 2, [half, half]);
        let sides = [1, 1, half, 1];
        let gate = |graph: &mut Graph, input: &Value, gate: &Gate| {
            onnx::gate(graph, input, &sides, [&gate.weight, &gate.bias])
        };
        let means = onnx::along(graph, "ReduceMean", &by_channel, &[3]);
        let weights = gate(graph, &means, &self.channel);
        let by_channel = graph.node("Mul", &[&by_channel, &weights], vec![]);
        let normalised = onnx::normalised(graph, &by_position, 3, |graph, variance| {
            let epsilon = onnx::scalar(graph, "epsilon", EPSILON);
            let variance = graph.node("Add", &[&variance, &epsilon], vec![]);
            graph.node("Sqrt", &[&variance], vec![])
        });
        let weights = gate(graph, &normalised, &self.spatial);
        let by_position = graph.node("Mul", &[&by_position, &weights], vec![]);
        let both = graph.node("Concat", &[&by_channel, &by_position], vec![int("axis", 2)]);
        let both = onnx::reshaped(graph, &both, &[0, channels, height, width]);
        Ok(write_shuffle(graph, &both, shape, 2))
    }
}

/// σ(w · x + b) along the last axis, with the authors' initial w = 0 and b = 1. Group norm's own scale
/// and shift would duplicate the two and are left out.
#[derive(Debug)]
struct Gate {
    weight: Tensor,
    bias: Tensor,
}

impl Gate {
    fn new(vs: &nn::Path, channels: i64) -> Self {
        Self { weight: vs.zeros("weight", &[channels]), bias: vs.ones("bias", &[channels]) }
    }
}

impl nn::Module for Gate {
    fn forward(&self, input: &Tensor) -> Tensor {
        (input * like(&self.weight, input) + like(&self.bias, input)).sigmoid()
    }
}
