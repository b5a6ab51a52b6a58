//! Squeeze and excitation (Hu et al. 2018, <https://arxiv.org/abs/1709.01507>).

use sd_onnx::{Graph, Value};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use crate::init::uniform_fan_in;
use crate::onnx;
use crate::pool::global_average;
use crate::precision::like;
use crate::shape::Window;
use crate::{Block, Cost, Error, FeatureShape, Result};

/// Configuration of [`SqueezeExcite`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// Each channel weighed by σ(W₂ relu(W₁ means)): 2C²/r parameters, without biases as in the
/// paper's equation 3.
#[derive(Debug)]
pub struct SqueezeExcite {
    squeeze: Tensor,
    excite: Tensor,
    channels: i64,
}

impl SqueezeExcite {
    /// Squeeze and excitation for this many channels.
    ///
    /// # Errors
    /// [`Error::Value`] for a reduction that is not positive.
    pub fn new(vs: &nn::Path, channels: i64, config: &SqueezeExciteConfig) -> Result<Self> {
        if config.reduction < 1 {
            return Err(Error::Value {
                key: "squeeze_excite.reduction",
                found: config.reduction,
                expected: "at least 1",
            });
        }
        let hidden = (channels / config.reduction).max(1);
        Ok(Self {
            squeeze: vs.var("squeeze", &[hidden, channels], uniform_fan_in(channels)),
            excite: vs.var("excite", &[channels, hidden], uniform_fan_in(hidden)),
            channels,
        })
    }
}

impl nn::Module for SqueezeExcite {
    fn forward(&self, input: &Tensor) -> Tensor {
        let hidden = global_average(input).linear(&like(&self.squeeze, input), None::<Tensor>);
        let weights = hidden.relu().linear(&like(&self.excite, input), None::<Tensor>).sigmoid();
        input * weights.unsqueeze(-1).unsqueeze(-1)
    }
}

impl Block for SqueezeExcite {
    fn cost(&self, input: FeatureShape) -> Result<(Cost, FeatureShape)> {
        let shape = input.with_channels(self.channels, "squeeze-excite")?;
        let params = (self.squeeze.numel() + self.excite.numel()) as u64;
        Ok((Cost { params, macs: params }, shape))
    }

    /// The linear layers are 1×1 convolutions on a map of one position.
    fn onnx(&self, graph: &mut Graph, input: &Value, _: FeatureShape) -> Result<Value> {
        let linear = |graph: &mut Graph, role, tensor: &Tensor, input: &Value| {
            let size = tensor.size();
            let weight = onnx::weight(graph, role, &[size[0], size[1], 1, 1], tensor);
            graph.node("Conv", &[input, &weight], onnx::sliding(Window::same(1, 1)))
        };
        let means = graph.node("GlobalAveragePool", &[input], vec![]);
        let hidden = linear(graph, "squeeze_weight", &self.squeeze, &means);
        let hidden = graph.node("Relu", &[&hidden], vec![]);
        let weights = linear(graph, "excite_weight", &self.excite, &hidden);
        let weights = graph.node("Sigmoid", &[&weights], vec![]);
        Ok(graph.node("Mul", &[input, &weights], vec![]))
    }
}
