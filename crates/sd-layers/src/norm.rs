//! Batch normalisation (Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>), alone or with
//! the activation that follows it.

use sd_onnx::{Graph, Value, float};
use tch::nn::ModuleT;
use tch::{Tensor, nn};

use crate::kernel::{Identity, Norm, Relu, Relu6, norm_activation, norm_relu_max_pool};
use crate::onnx;
use crate::pool::Pool;
use crate::shape::Window;
use crate::{Block, Cost, FeatureShape, Result};

/// Batch normalisation over `[N, C, H, W]`, with PyTorch's defaults: scale 1, shift 0, ε 1e-5,
/// running statistics moved by a tenth each step. Its parameters stay `f32` for `bf16` input.
///
/// An activation belongs to the block because both are one kernel.
#[derive(Debug)]
pub struct BatchNorm {
    norm: Norm,
    activation: Activation,
}

/// What follows the normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activation {
    Identity,
    Relu,
    Relu6,
    ReluMaxPool,
}

/// Added to a variance.
pub(crate) const EPSILON: f64 = 1e-5;

/// The max pool of [`BatchNorm::relu_max_pool`].
const MAX_POOL: Pool = Pool::Max(Window::tiles(2));

impl BatchNorm {
    /// Batch normalisation of this many channels.
    pub fn new(vs: &nn::Path, channels: i64) -> Self {
        Self::with(vs, channels, Activation::Identity)
    }

    /// Batch normalisation, then ReLU.
    pub fn relu(vs: &nn::Path, channels: i64) -> Self {
        Self::with(vs, channels, Activation::Relu)
    }

    /// Batch normalisation, then ReLU6: min(max(x, 0), 6).
    pub fn relu6(vs: &nn::Path, channels: i64) -> Self {
        Self::with(vs, channels, Activation::Relu6)
    }

    /// Batch normalisation, ReLU, then a 2×2 max pool.
    pub fn relu_max_pool(vs: &nn::Path, channels: i64) -> Self {
        Self::with(vs, channels, Activation::ReluMaxPool)
    }

    fn with(vs: &nn::Path, channels: i64, activation: Activation) -> Self {
        let norm = Norm {
            weight: vs.ones("weight", &[channels]),
            bias: vs.zeros("bias", &[channels]),
            running_mean: vs.zeros_no_train("running_mean", &[channels]),
            running_var: vs.ones_no_train("running_var", &[channels]),
            epsilon: EPSILON,
            momentum: 0.1,
        };
        Self { norm, activation }
    }

    /// relu(norm(input) + residual), whatever the block's activation.
    pub fn relu_of_sum(&self, input: &Tensor, residual: &Tensor, train: bool) -> Tensor {
        norm_activation::<Relu>(input, Some(residual), &self.norm, train)
    }
}

impl ModuleT for BatchNorm {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        match self.activation {
            Activation::Identity => norm_activation::<Identity>(input, None, &self.norm, train),
            Activation::Relu => norm_activation::<Relu>(input, None, &self.norm, train),
            Activation::Relu6 => norm_activation::<Relu6>(input, None, &self.norm, train),
            Activation::ReluMaxPool => norm_relu_max_pool(input, &self.norm, train),
        }
    }
}

impl Block for BatchNorm {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        match self.activation {
            Activation::ReluMaxPool => MAX_POOL.output_shape(input),
            _ => Ok(input),
        }
    }

    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        let channels = self.norm.weight.numel();
        input.expect_channels(channels as i64, "batch norm")?;
        Ok(Cost { params: 2 * channels as u64, macs: 0 })
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let Norm { weight, bias, running_mean, running_var, epsilon, .. } = &self.norm;
        let roles = [
            ("norm_weight", weight),
            ("norm_bias", bias),
            ("norm_mean", running_mean),
            ("norm_var", running_var),
        ];
        let [weight, bias, mean, var] =
            roles.map(|(role, tensor)| onnx::whole(graph, role, tensor));
        let inputs = [input, &weight, &bias, &mean, &var];
        let epsilon = float("epsilon", *epsilon as f32);
        let normed = graph.node("BatchNormalization", &inputs, vec![epsilon]);
        Ok(match self.activation {
            Activation::Identity => normed,
            Activation::Relu => graph.node("Relu", &[&normed], vec![]),
            Activation::Relu6 => {
                let least = onnx::scalar(graph, "least", 0.0);
                let most = onnx::scalar(graph, "most", 6.0);
                graph.node("Clip", &[&normed, &least, &most], vec![])
            }
            Activation::ReluMaxPool => {
                let positive = graph.node("Relu", &[&normed], vec![]);
                MAX_POOL.onnx(graph, &positive, shape)?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn relu6_clips_below_zero_and_above_six() {
        let vs = nn::VarStore::new(Device::Cpu);
        let layer = BatchNorm::relu6(&vs.root(), 1);
        let input = Tensor::from_slice(&[-1.0f32, 3.0, 7.5]).view([1, 1, 1, 3]);
        // At the start the running statistics are 0 and 1; ε hardly counts.
        let output = Vec::<f32>::try_from(layer.forward_t(&input, false).view([3])).unwrap();
        assert_eq!([output[0], output[2]], [0.0, 6.0]);
        assert!((output[1] - 3.0).abs() < 1e-4, "{output:?}");
    }

    #[test]
    fn scale_starts_at_one_and_statistics_move_by_a_tenth() {
        let vs = nn::VarStore::new(Device::Cpu);
        let norm = BatchNorm::new(&vs.root(), 3);
        let variables = vs.variables();
        assert_eq!(variables["weight"], Tensor::ones([3], (Kind::Float, Device::Cpu)));
        assert_eq!(variables["bias"], Tensor::zeros([3], (Kind::Float, Device::Cpu)));
        let input = Tensor::full([4, 3, 2, 2], 5.0, (Kind::Float, Device::Cpu));
        let _ = norm.forward_t(&input, true);
        let mean = &vs.variables()["running_mean"];
        assert!((mean.double_value(&[0]) - 0.5).abs() < 1e-6);
    }
}
