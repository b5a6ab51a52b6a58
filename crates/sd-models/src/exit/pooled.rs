//! The common end of the shallow classifiers: global average pool and one linear layer.

use sd_layers::{
    Block, Cost, FeatureShape, Linear, Result, Sequential, global_average, write_global_average,
};
use sd_onnx::{Graph, Value};
use tch::Tensor;
use tch::nn::ModuleT;

use super::{Exit, ExitOutput};

/// A body, global average pool, and a linear layer on the pooled feature.
#[derive(Debug)]
pub struct Pooled {
    /// `[N, C, H, W]` to `[N, D, H', W']`.
    pub body: Sequential,
    /// D to K.
    pub linear: Linear,
}

impl Exit for Pooled {
    fn forward(&self, map: &Tensor, train: bool) -> ExitOutput {
        let feature = global_average(&self.body.forward_t(map, train));
        ExitOutput { logits: feature.apply(&self.linear), feature }
    }

    fn cost(&self, map: FeatureShape) -> Result<Cost> {
        Ok(self.body.cost(map)? + self.linear.cost())
    }

    fn onnx(&self, graph: &mut Graph, map: &Value, shape: FeatureShape) -> Result<Value> {
        let body = self.body.onnx(graph, map, shape)?;
        let feature = write_global_average(graph, &body);
        Ok(self.linear.onnx(graph, &feature))
    }
}
