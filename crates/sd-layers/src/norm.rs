//! Batch normalisation (Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>).

use sd_onnx::{Graph, Value, float};
use tch::nn::ModuleT;
use tch::{Tensor, nn};

use crate::kernel::{self, Norm};
use crate::onnx;
use crate::pool::MaxPool;
use crate::shape::Window;
use crate::{Block, Cost, FeatureShape, Result};

/// Batch normalisation over `[N, C, H, W]`, with PyTorch's defaults: scale 1, shift 0, ε 1e-5,
/// running statistics moved by a tenth each step. Its parameters stay `f32` for `bf16` input.
#[derive(Debug)]
pub struct BatchNorm(Norm);

impl BatchNorm {
    /// Batch normalisation of this many channels.
    pub fn new(vs: &nn::Path, channels: i64) -> Self {
        Self(Norm {
            weight: vs.ones("weight", &[channels]),
            bias: vs.zeros("bias", &[channels]),
            running_mean: vs.zeros_no_train("running_mean", &[channels]),
            running_var: vs.ones_no_train("running_var", &[channels]),
            epsilon: 1e-5,
            momentum: 0.1,
        })
    }

    /// relu(norm(input) + residual), or relu(norm(input)) without one.
    pub fn relu(&self, input: &Tensor, residual: Option<&Tensor>, train: bool) -> Tensor {
        let fused = kernel::is_channels_last(input)
            && residual.is_none_or(|residual| {
                kernel::is_channels_last(residual) && residual.kind() == input.kind()
            });
        if fused && train {
            return kernel::train(input, residual, &self.0);
        }
        if fused && !kernel::grad_enabled() {
            return kernel::infer(input, residual, &self.0);
        }
        let mut output = self.forward_t(input, train);
        match residual {
            None => output.relu_(),
            Some(residual) => (output + residual).relu_(),
        }
    }
}

impl ModuleT for BatchNorm {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let Norm { weight, bias, running_mean, running_var, epsilon, momentum } = &self.0;
        input.batch_norm(
            Some(weight),
            Some(bias),
            Some(running_mean),
            Some(running_var),
            train,
            *momentum,
            *epsilon,
            true,
        )
    }
}

impl Block for BatchNorm {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        let channels = self.0.weight.numel();
        input.with_channels(channels as i64, "batch norm")?;
        Ok(Cost { params: 2 * channels as u64, macs: 0 })
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, _: FeatureShape) -> Result<Value> {
        let Norm { weight, bias, running_mean, running_var, epsilon, .. } = &self.0;
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
        Ok(graph.node("BatchNormalization", &inputs, vec![epsilon]))
    }
}

/// Batch normalisation, then ReLU.
#[derive(Debug)]
pub struct BatchNormRelu(BatchNorm);

impl BatchNormRelu {
    /// Batch normalisation of this many channels, then ReLU.
    pub fn new(vs: &nn::Path, channels: i64) -> Self {
        Self(BatchNorm::new(vs, channels))
    }
}

impl ModuleT for BatchNormRelu {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.0.relu(input, None, train)
    }
}

impl Block for BatchNormRelu {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        self.0.cost(input)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let normed = self.0.onnx(graph, input, shape)?;
        Ok(graph.node("Relu", &[&normed], vec![]))
    }
}

/// Batch normalisation, then min(max(x, 0), 6).
#[derive(Debug)]
pub struct BatchNormRelu6(BatchNorm);

impl BatchNormRelu6 {
    /// Batch normalisation of this many channels, then ReLU6.
    pub fn new(vs: &nn::Path, channels: i64) -> Self {
        Self(BatchNorm::new(vs, channels))
    }
}

impl ModuleT for BatchNormRelu6 {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.0.forward_t(input, train).relu6_()
    }
}

impl Block for BatchNormRelu6 {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        self.0.cost(input)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let normed = self.0.onnx(graph, input, shape)?;
        let (least, most) = (onnx::scalar(graph, "least", 0.0), onnx::scalar(graph, "most", 6.0));
        Ok(graph.node("Clip", &[&normed, &least, &most], vec![]))
    }
}

/// Batch normalisation, ReLU, then the largest value in each window of 2×2.
#[derive(Debug)]
pub struct BatchNormReluMaxPool(BatchNorm);

impl BatchNormReluMaxPool {
    /// Batch normalisation of this many channels, ReLU and max pool.
    pub fn new(vs: &nn::Path, channels: i64) -> Self {
        Self(BatchNorm::new(vs, channels))
    }
}

impl ModuleT for BatchNormReluMaxPool {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let even = input.size()[2..].iter().all(|side| side % 2 == 0);
        if train && even && kernel::is_channels_last(input) {
            return kernel::train_pooled(input, &self.0.0);
        }
        self.0.relu(input, None, train).apply(&MaxPool(Window::tiles(2)))
    }
}

impl Block for BatchNormReluMaxPool {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        self.0.cost(input)
    }

    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        MaxPool(Window::tiles(2)).output_shape(input)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let normed = self.0.onnx(graph, input, shape)?;
        let positive = graph.node("Relu", &[&normed], vec![]);
        MaxPool(Window::tiles(2)).onnx(graph, &positive, shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn relu6_cuts_below_zero_and_above_six() {
        let vs = nn::VarStore::new(Device::Cpu);
        let layer = BatchNormRelu6::new(&vs.root(), 1);
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
