//! The linear layer.

use sd_onnx::{Graph, Value, int};
use tch::{Tensor, nn};

use crate::init::uniform_fan_in;
use crate::precision::like;
use crate::{Cost, onnx};

/// A linear layer with bias, `[N, inputs]` to `[N, outputs]`, initialised as in PyTorch.
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

    /// The cost of one row.
    pub fn cost(&self) -> Cost {
        let macs = self.weight.numel() as u64;
        Cost { params: macs + self.bias.numel() as u64, macs }
    }

    /// Writes the layer into an ONNX graph and returns its output, see
    /// [`Block::onnx`](crate::Block::onnx).
    pub fn onnx(&self, graph: &mut Graph, rows: &Value) -> Value {
        let weight = onnx::whole(graph, "linear_weight", &self.weight);
        let bias = onnx::whole(graph, "linear_bias", &self.bias);
        graph.node("Gemm", &[rows, &weight, &bias], vec![int("transB", 1)])
    }
}

impl nn::Module for Linear {
    fn forward(&self, rows: &Tensor) -> Tensor {
        rows.linear(&like(&self.weight, rows), Some(&like(&self.bias, rows)))
    }
}
