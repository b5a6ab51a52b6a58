//! Convolutional block attention (Woo et al. 2018, <https://arxiv.org/abs/1807.06521>).

use schemars::JsonSchema;
use sd_onnx::{Graph, Value, int};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use super::Attention;
use super::squeeze_excite::Excitation;
use crate::error::{odd, positive};
use crate::kernel::{global_average, scale_channels};
use crate::onnx;
use crate::shape::Window;
use crate::{Block, ConvGeometry, Convolution, Cost, FeatureShape, Result, Sequential};

/// CBAM: channels scaled, then positions. 2C²/r + 2k² parameters, without biases and, as in the
/// paper's equation 3, without batch norm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CbamConfig {
    /// r: the channels' bottleneck has C / r of them, at least one; the paper's 16.
    pub reduction: i64,
    /// Side of the window over the positions, odd; the paper's 7.
    pub kernel: i64,
}

impl Default for CbamConfig {
    fn default() -> Self {
        Self { reduction: 16, kernel: 7 }
    }
}

impl Attention for CbamConfig {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Sequential> {
        let reduction = positive("cbam.reduction", self.reduction)?;
        let window = Window::same(odd("cbam.kernel", self.kernel)?, 1);
        let planes = ConvGeometry { inputs: 2, outputs: 1, window };
        Ok(Sequential::new().then(Cbam {
            channel: Excitation::new(&(vs / "channel"), channels, reduction),
            spatial: Convolution::dense(&(vs / "spatial"), planes),
        }))
    }
}

#[derive(Debug)]
struct Cbam {
    channel: Excitation,
    spatial: Convolution,
}

impl nn::Module for Cbam {
    /// Equations 2 and 3.
    fn forward(&self, input: &Tensor) -> Tensor {
        let largest = input.amax([2i64, 3].as_slice(), false);
        let channels = global_average(input).apply(&self.channel) + largest.apply(&self.channel);
        let refined = scale_channels(input, &channels.sigmoid());
        let mean = refined.mean_dim([1i64].as_slice(), true, None);
        let planes = Tensor::cat(&[mean, refined.amax([1i64].as_slice(), true)], 1);
        let positions = planes.apply(&self.spatial).sigmoid();
        refined * positions
    }
}

impl Block for Cbam {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        input.expect_channels(self.channel.channels(), "CBAM")?;
        let params = self.channel.params();
        // The means and the maxima pass through the same layers.
        let channel = Cost { params, macs: 2 * params };
        let spatial = self.spatial.cost(FeatureShape { channels: 2, ..input })?;
        Ok(channel + spatial)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let mean = onnx::along(graph, "ReduceMean", input, &[2, 3]);
        let largest = onnx::along(graph, "ReduceMax", input, &[2, 3]);
        // Both pass through the shared layers at once; their sum is twice their mean.
        let both = graph.node("Concat", &[&mean, &largest], vec![int("axis", 3)]);
        let both = self.channel.onnx(graph, &both);
        let channels = onnx::along(graph, "ReduceMean", &both, &[3]);
        let two = onnx::scalar(graph, "two", 2.0);
        let channels = graph.node("Mul", &[&channels, &two], vec![]);
        let refined = onnx::scaled_by_sigmoid(graph, input, &channels);
        let mean = onnx::along(graph, "ReduceMean", &refined, &[1]);
        let largest = onnx::along(graph, "ReduceMax", &refined, &[1]);
        let planes = graph.node("Concat", &[&mean, &largest], vec![int("axis", 1)]);
        let positions = self.spatial.onnx(graph, &planes, FeatureShape { channels: 2, ..shape })?;
        Ok(onnx::scaled_by_sigmoid(graph, &refined, &positions))
    }
}
