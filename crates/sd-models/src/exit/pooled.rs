//! What shallow classifiers have in common after their bodies: global pool, one linear layer.

use sd_layers::{
    Block, Cost, FeatureShape, Linear, Sequential, global_average, write_global_average,
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

    fn cost(&self, map: FeatureShape) -> sd_layers::Result<Cost> {
        Ok(self.body.cost(map)? + self.linear.cost())
    }

    fn onnx(
        &self,
        graph: &mut Graph,
        map: &Value,
        shape: FeatureShape,
    ) -> sd_layers::Result<Value> {
        let body = self.body.onnx(graph, map, shape)?;
        let feature = write_global_average(graph, &body);
        Ok(self.linear.onnx(graph, &feature))
    }
}
