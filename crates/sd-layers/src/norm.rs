//! Batch normalisation (Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>).

use tch::{Tensor, nn};

use crate::{Block, Cost, FeatureShape, Result};

/// Batch normalisation over `[N, C, H, W]`, with PyTorch's defaults: scale 1, shift 0, ε 1e-5,
/// running statistics moved by a tenth each step. Its parameters stay `f32` for `bf16` input.
#[derive(Debug)]
pub struct BatchNorm {
    channels: i64,
    norm: nn::BatchNorm,
}

impl BatchNorm {
    /// Batch normalisation of this many channels.
    pub fn new(vs: &nn::Path, channels: i64) -> Self {
        let config = nn::BatchNormConfig {
            ws_init: nn::Init::Const(1.0),
            bs_init: nn::Init::Const(0.0),
            ..Default::default()
        };
        Self { channels, norm: nn::batch_norm2d(vs, channels, config) }
    }
}

impl nn::ModuleT for BatchNorm {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.norm.forward_t(input, train)
    }
}

impl Block for BatchNorm {
    fn cost(&self, input: FeatureShape) -> Result<(Cost, FeatureShape)> {
        let shape = input.with_channels(self.channels, "batch norm")?;
        Ok((Cost { params: 2 * self.channels as u64, macs: 0 }, shape))
    }
}

/// Batch normalisation, then ReLU in the memory of its output.
#[derive(Debug)]
pub struct BatchNormRelu(BatchNorm);

impl BatchNormRelu {
    /// Batch normalisation of this many channels, then ReLU.
    pub fn new(vs: &nn::Path, channels: i64) -> Self {
        Self(BatchNorm::new(vs, channels))
    }
}

impl nn::ModuleT for BatchNormRelu {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.0.forward_t(input, train).relu_()
    }
}

impl Block for BatchNormRelu {
    fn cost(&self, input: FeatureShape) -> Result<(Cost, FeatureShape)> {
        self.0.cost(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn::ModuleT;
    use tch::{Device, Kind};

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
