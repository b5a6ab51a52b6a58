//! The classifier that every exit is.

use sd_layers::{
    Block, Cost, Error, FeatureShape, Linear, Pool, Result, Sequential, Window, global_average,
    write_global_average,
};
use sd_onnx::{Graph, Value, int};
use tch::Tensor;
use tch::nn::ModuleT;

/// The output of a classifier for a batch.
#[derive(Debug)]
pub struct ExitOutput {
    /// The input of the last layer, `[N, D]`; the same D at every exit.
    pub feature: Tensor,
    /// `[N, K]`, not normalised.
    pub logits: Tensor,
}

/// A classifier on a feature map `[N, C, H, W]`: a body, an average pool and linear layers.
#[derive(Debug)]
pub struct Classifier {
    /// `[N, C, H, W]` to `[N, D, H', W']`; empty in a head.
    pub(super) body: Sequential,
    /// Height and width that the body's output is averaged to before it is flattened. The feature is
    /// the map averaged to one position.
    pub(super) side: i64,
    /// Linear layers before the last one, each with ReLU and dropout ½.
    pub(super) hidden: Vec<Linear>,
    /// The last layer.
    pub(super) linear: Linear,
}

impl Classifier {
    /// Returns feature and logits.
    pub fn forward(&self, map: &Tensor, train: bool) -> ExitOutput {
        let map = self.body.forward_t(map, train);
        let feature = global_average(&map);
        let row = match self.side {
            1 => feature.shallow_clone(),
            // Flattened channel by channel, whatever the memory layout.
            side => map.adaptive_avg_pool2d([side, side]).flatten(1, -1),
        };
        let last =
            self.hidden.iter().fold(row, |row, layer| row.apply(layer).relu().dropout(0.5, train));
        ExitOutput { logits: last.apply(&self.linear), feature }
    }

    /// Returns the cost on a map of this shape.
    ///
    /// # Errors
    /// Names the layer that does not fit.
    pub fn cost(&self, map: FeatureShape) -> Result<Cost> {
        let linear: Cost = self.hidden.iter().chain([&self.linear]).map(Linear::cost).sum();
        Ok(self.body.cost(map)? + linear)
    }

    /// Writes the computation in evaluation, on `map` of this shape, into an ONNX graph, and returns
    /// the logits `[N, K]`.
    ///
    /// # Errors
    /// Names a layer that cannot be written.
    pub fn onnx(&self, graph: &mut Graph, map: &Value, shape: FeatureShape) -> Result<Value> {
        let map = self.body.onnx(graph, map, shape)?;
        let mut row = match self.side {
            1 => write_global_average(graph, &map),
            side => {
                let map = write_averaged(graph, &map, self.body.output_shape(shape)?, side)?;
                graph.node("Flatten", &[&map], vec![int("axis", 1)])
            }
        };
        for layer in &self.hidden {
            let hidden = layer.onnx(graph, &row);
            row = graph.node("Relu", &[&hidden], vec![]);
        }
        Ok(self.linear.onnx(graph, &row))
    }
}

/// Writes the map averaged to `side`×`side`, if all windows have one size or the map has one position.
fn write_averaged(graph: &mut Graph, map: &Value, shape: FeatureShape, side: i64) -> Result<Value> {
    let FeatureShape { height, width, .. } = shape;
    if (height, width) == (1, 1) {
        let sides = graph.longs("shape", &[1, 1, side, side]);
        return Ok(graph.node("Expand", &[map, &sides], vec![]));
    }
    if height == width && height % side == 0 {
        return Pool::Average(Window::tiles(height / side)).onnx(graph, map, shape);
    }
    Err(Error::NotWritten { block: "an average pool with windows of several sizes" })
}
