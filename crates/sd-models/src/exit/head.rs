//! The classifier after the last stage.

use sd_layers::{
    AveragePool, Block, Cost, Error, FeatureShape, Linear, Result, Window, global_average,
    write_global_average,
};
use sd_onnx::{Graph, Value, int};
use tch::{Tensor, nn};

use super::{Exit, ExitOutput};

/// Kinds of head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Global average pool and one linear layer.
    Linear,
    /// VGG's head: two linear layers of this width with ReLU and dropout ½ before the last one, on
    /// the map averaged to `side`×`side` and flattened. Its feature is the map averaged to one
    /// position, so that D is the last stage's width as in other heads.
    Classic {
        /// Width of the two layers.
        width: i64,
        /// Height and width of the first layer's input.
        side: i64,
    },
}

impl Head {
    /// Builds the head for maps of this many channels.
    pub fn build(self, vs: &nn::Path, channels: i64, classes: i64) -> Box<dyn Exit> {
        let (side, hidden, width) = match self {
            Self::Linear => (1, vec![], channels),
            Self::Classic { width, side } => {
                let first = Linear::new(&(vs / "hidden1"), channels * side * side, width);
                (side, vec![first, Linear::new(&(vs / "hidden2"), width, width)], width)
            }
        };
        Box::new(Classifier { side, hidden, linear: Linear::new(&(vs / "linear"), width, classes) })
    }
}

#[derive(Debug)]
struct Classifier {
    side: i64,
    hidden: Vec<Linear>,
    linear: Linear,
}

impl Exit for Classifier {
    fn forward(&self, map: &Tensor, train: bool) -> ExitOutput {
        let feature = global_average(map);
        let row = match self.side {
            1 => feature.shallow_clone(),
            // Flattened channel by channel, whatever the memory layout.
            side => map.adaptive_avg_pool2d([side, side]).flatten(1, -1),
        };
        let last =
            self.hidden.iter().fold(row, |row, layer| row.apply(layer).relu().dropout(0.5, train));
        ExitOutput { logits: last.apply(&self.linear), feature }
    }

    fn cost(&self, _: FeatureShape) -> Result<Cost> {
        Ok(self.hidden.iter().chain([&self.linear]).map(Linear::cost).sum())
    }

    fn onnx(&self, graph: &mut Graph, map: &Value, shape: FeatureShape) -> Result<Value> {
        let mut row = match self.side {
            1 => write_global_average(graph, map),
            side => {
                let map = write_averaged(graph, map, shape, side)?;
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
        return AveragePool(Window::tiles(height / side)).onnx(graph, map, shape);
    }
    Err(Error::NotWritten { block: "an average pool with windows of several sizes" })
}
