//! Spatial group-wise enhance, SGE (Li et al. 2019, <https://arxiv.org/abs/1905.09646>).

use schemars::JsonSchema;
use sd_onnx::{Graph, Value};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use super::Attention;
use crate::error::positive;
use crate::onnx;
use crate::precision::like;
use crate::{Block, Cost, Error, FeatureShape, Result, Sequential};

/// The paper's ε.
const EPSILON: f64 = 1e-5;

/// SGE: each position of a group of channels scaled by σ of its similarity to the group's mean. 2G
/// parameters; scale and shift start at 0 and 1, the same weight everywhere, as in the paper.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpatialGroupConfig {
    /// G, a divisor of the channels. By default the paper's 64, or the number of channels if that is
    /// less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<i64>,
}

impl Attention for SpatialGroupConfig {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Sequential> {
        let groups = self.groups.unwrap_or_else(|| channels.min(64));
        let groups = positive("spatial_group.groups", groups)?;
        if channels % groups != 0 {
            return Err(Error::Groups { what: "spatial_group channels", channels, groups });
        }
        let (weight, bias) = (vs.zeros("weight", &[groups]), vs.ones("bias", &[groups]));
        Ok(Sequential::new().then(SpatialGroup { weight, bias, channels }))
    }
}

#[derive(Debug)]
struct SpatialGroup {
    weight: Tensor,
    bias: Tensor,
    channels: i64,
}

impl nn::Module for SpatialGroup {
    /// The standard deviation divides by the number of positions, as in the paper; the authors' code
    /// divides by one less.
    fn forward(&self, input: &Tensor) -> Tensor {
        let (n, c, h, w) = input.size4().expect("a feature map has four axes");
        let groups = self.weight.size()[0];
        let of_group = |value: &Tensor| like(value, input).view([groups, 1, 1]);
        let positions = [2i64, 3];

        let grouped = input.reshape([n, groups, c / groups, h, w]);
        let mean = grouped.mean_dim([3i64, 4].as_slice(), true, None);
        let similarity = (&grouped * mean).sum_dim_intlist([2i64].as_slice(), false, None);
        let centred = &similarity - similarity.mean_dim(positions.as_slice(), true, None);
        // Where all positions are equal, its gradient is 0 instead of infinite.
        let deviation = similarity.std_correction(positions.as_slice(), 0, true);
        let normalised = centred / (deviation + EPSILON);
        let weights = (normalised * of_group(&self.weight) + of_group(&self.bias)).sigmoid();
        (grouped * weights.unsqueeze(2)).reshape([n, c, h, w])
    }
}

impl Block for SpatialGroup {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        input.expect_channels(self.channels, "spatial group-wise enhance")?;
        Ok(Cost { params: 2 * self.weight.numel() as u64, macs: 0 })
    }

    /// On `[N, G, C/G, H·W]`; a sum over a group's channels is their mean times C/G.
    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let FeatureShape { channels, height, width } = shape;
        let groups = self.weight.size()[0];
        let each = channels / groups;
        let grouped = onnx::reshaped(graph, input, &[0, groups, each, height * width]);
        let mean = onnx::along(graph, "ReduceMean", &grouped, &[3]);
        let products = graph.node("Mul", &[&grouped, &mean], vec![]);
        let similarity = onnx::along(graph, "ReduceMean", &products, &[2]);
        let each = onnx::scalar(graph, "channels", each as f64);
        let similarity = graph.node("Mul", &[&similarity, &each], vec![]);
        let normalised = onnx::normalised(graph, &similarity, 3, |graph, variance| {
            let deviation = graph.node("Sqrt", &[&variance], vec![]);
            let epsilon = onnx::scalar(graph, "epsilon", EPSILON);
            graph.node("Add", &[&deviation, &epsilon], vec![])
        });
        let sides = [1, groups, 1, 1];
        let weights = onnx::gate(graph, &normalised, &sides, [&self.weight, &self.bias]);
        let scaled = graph.node("Mul", &[&grouped, &weights], vec![]);
        Ok(onnx::reshaped(graph, &scaled, &[0, channels, height, width]))
    }
}
