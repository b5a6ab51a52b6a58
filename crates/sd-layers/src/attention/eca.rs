//! Efficient channel attention (Wang et al. 2020, <https://arxiv.org/abs/1910.03151>).

use schemars::JsonSchema;
use sd_onnx::{Graph, Value, int};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use super::Attention;
use crate::error::odd;
use crate::init::uniform_fan_in;
use crate::kernel::{global_average, scale_channels};
use crate::onnx;
use crate::precision::like;
use crate::{Block, Cost, FeatureShape, Result, Sequential};

/// Efficient channel attention: each channel scaled by σ of a 1-D convolution over the channels'
/// means. k parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EcaConfig {
    /// k, odd: channels that the convolution covers. By default it grows with the channels
    /// (equation 12 of the paper).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<i64>,
}

impl Attention for EcaConfig {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Sequential> {
        let kernel = self.kernel.unwrap_or_else(|| adaptive_kernel(channels));
        let kernel = odd("eca.kernel", kernel)?;
        let weight = vs.var("weight", &[1, 1, kernel], uniform_fan_in(kernel));
        Ok(Sequential::new().then(Eca { weight, channels }))
    }
}

#[derive(Debug)]
struct Eca {
    weight: Tensor,
    channels: i64,
}

/// Equation 12: |log₂(C)/γ + b/γ| rounded up to an odd number, with γ = 2 and b = 1.
fn adaptive_kernel(channels: i64) -> i64 {
    let kernel = ((channels as f64).log2() + 1.0).abs() / 2.0;
    kernel as i64 | 1
}

impl nn::Module for Eca {
    fn forward(&self, input: &Tensor) -> Tensor {
        let weight = like(&self.weight, input);
        let padding = weight.size()[2] / 2;
        let neighbours = global_average(input).unsqueeze(1);
        let weights = neighbours.conv1d(&weight, None::<Tensor>, 1, padding, 1, 1).sigmoid();
        scale_channels(input, &weights.squeeze_dim(1))
    }
}

impl Block for Eca {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        input.expect_channels(self.channels, "ECA")?;
        let params = self.weight.numel() as u64;
        Ok(Cost { params, macs: params * self.channels as u64 })
    }

    /// The convolution is a product of the channels' means `[N, C]` with a banded matrix `[C, C]`:
    /// converters to TFLite and Core ML mistake a map of one column for an image.
    fn onnx(&self, graph: &mut Graph, input: &Value, _: FeatureShape) -> Result<Value> {
        let means = graph.node("GlobalAveragePool", &[input], vec![]);
        let means = graph.node("Flatten", &[&means], vec![int("axis", 1)]);
        let channels = self.channels;
        let bands =
            onnx::weight(graph, "eca_bands", &[channels; 2], &banded(&self.weight, channels));
        let mixed = graph.node("MatMul", &[&means, &bands], vec![]);
        let mixed = onnx::reshaped(graph, &mixed, &[0, channels, 1, 1]);
        Ok(onnx::scaled_by_sigmoid(graph, input, &mixed))
    }
}

/// The matrix `[C, C]` that convolves a row of C values with a kernel `[1, 1, k]`: column j has the
/// kernel around row j, cut at the edges.
fn banded(kernel: &Tensor, channels: i64) -> Tensor {
    let rows = Tensor::eye(channels, (kernel.kind(), kernel.device())).unsqueeze(1);
    // Row i of the product is the convolution of the unit vector i.
    rows.conv1d(kernel, None::<Tensor>, 1, kernel.size()[2] / 2, 1, 1).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_grows_with_the_channels_as_in_the_paper() {
        let kernels = [16, 64, 128, 256, 512, 2048].map(adaptive_kernel);
        assert_eq!(kernels, [3, 3, 5, 5, 5, 7]);
    }

    #[test]
    fn the_kernel_stands_around_the_diagonal_of_each_column() {
        let kernel = Tensor::from_slice(&[1f32, 2.0, 3.0]).view([1, 1, 3]);
        let matrix = Vec::<f32>::try_from(banded(&kernel, 4).view([-1])).unwrap();
        let expected = [[2., 1., 0., 0.], [3., 2., 1., 0.], [0., 3., 2., 1.], [0., 0., 3., 2.]];
        assert_eq!(matrix, expected.concat());
    }
}
