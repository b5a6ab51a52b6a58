//! The linear layer.

use tch::{Tensor, nn};

use crate::Cost;
use crate::init::uniform_fan_in;
use crate::precision::like;

/// `[N, inputs]` to `[N, outputs]`, with bias; PyTorch's initialisation.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// A linear layer of these sizes.
    pub fn new(vs: &nn::Path, inputs: i64, outputs: i64) -> Self {
        Self {
            weight: vs.var("weight", &[outputs, inputs], uniform_fan_in(inputs)),
            bias: vs.var("bias", &[outputs], uniform_fan_in(inputs)),
        }
    }

    /// Parameters, and multiply-accumulates for one row.
    pub fn cost(&self) -> Cost {
        let macs = self.weight.numel() as u64;
        Cost { params: macs + self.bias.numel() as u64, macs }
    }
}

impl nn::Module for Linear {
    fn forward(&self, rows: &Tensor) -> Tensor {
        rows.linear(&like(&self.weight, rows), Some(&like(&self.bias, rows)))
    }
}
