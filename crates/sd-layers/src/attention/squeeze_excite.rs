//! Squeeze and excitation (Hu et al. 2018, <https://arxiv.org/abs/1709.01507>).

use schemars::JsonSchema;
use sd_onnx::{Graph, Value};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use super::Attention;
use crate::error::positive;
use crate::init::uniform_fan_in;
use crate::kernel::{global_average, scale_channels};
use crate::onnx;
use crate::precision::like;
use crate::shape::Window;
use crate::{Block, Cost, FeatureShape, Result, Sequential};

/// Squeeze and excitation: each channel scaled by σ(W₂ relu(W₁ means)). 2C²/r parameters, without
/// biases as in the paper's equation 3.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SqueezeExciteConfig {
    /// r: the bottleneck has C / r channels, at least one; the paper's 16.
    pub reduction: i64,
}

impl Default for SqueezeExciteConfig {
    fn default() -> Self {
        Self { reduction: 16 }
    }
}

impl Attention for SqueezeExciteConfig {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Sequential> {
        let reduction = positive("squeeze_excite.reduction", self.reduction)?;
        Ok(Sequential::new().then(SqueezeExcite(Excitation::new(vs, channels, reduction))))
    }
}

#[derive(Debug)]
struct SqueezeExcite(Excitation);

impl nn::Module for SqueezeExcite {
    fn forward(&self, input: &Tensor) -> Tensor {
        let weights = global_average(input).apply(&self.0).sigmoid();
        scale_channels(input, &weights)
    }
}

impl Block for SqueezeExcite {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        input.expect_channels(self.0.channels(), "squeeze-excite")?;
        let params = self.0.params();
        Ok(Cost { params, macs: params })
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, _: FeatureShape) -> Result<Value> {
        let means = graph.node("GlobalAveragePool", &[input], vec![]);
        let weights = self.0.onnx(graph, &means);
        Ok(onnx::scaled_by_sigmoid(graph, input, &weights))
    }
}

/// W₂ relu(W₁ rows): `[N, C]` to `[N, C]` through a bottleneck of C / r.
#[derive(Debug)]
pub(super) struct Excitation {
    squeeze: Tensor,
    excite: Tensor,
}

impl Excitation {
    pub(super) fn new(vs: &nn::Path, channels: i64, reduction: i64) -> Self {
        let hidden = (channels / reduction).max(1);
        Self {
            squeeze: vs.var("squeeze", &[hidden, channels], uniform_fan_in(channels)),
            excite: vs.var("excite", &[channels, hidden], uniform_fan_in(hidden)),
        }
    }

    pub(super) fn channels(&self) -> i64 {
        self.excite.size()[0]
    }

    /// Parameters; also the multiply-accumulates of one row.
    pub(super) fn params(&self) -> u64 {
        (self.squeeze.numel() + self.excite.numel()) as u64
    }

    /// Writes the layers into an ONNX graph: 1×1 convolutions on a map `[N, C, 1, 1]`.
    pub(super) fn onnx(&self, graph: &mut Graph, input: &Value) -> Value {
        let linear = |graph: &mut Graph, role, tensor: &Tensor, input: &Value| {
            let size = tensor.size();
            let weight = onnx::weight(graph, role, &[size[0], size[1], 1, 1], tensor);
            graph.node("Conv", &[input, &weight], onnx::sliding(Window::same(1, 1)))
        };
        let hidden = linear(graph, "squeeze_weight", &self.squeeze, input);
        let hidden = graph.node("Relu", &[&hidden], vec![]);
        linear(graph, "excite_weight", &self.excite, &hidden)
    }
}

impl nn::Module for Excitation {
    fn forward(&self, rows: &Tensor) -> Tensor {
        let hidden = rows.linear(&like(&self.squeeze, rows), None::<Tensor>).relu();
        hidden.linear(&like(&self.excite, rows), None::<Tensor>)
    }
}
