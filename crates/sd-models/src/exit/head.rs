//! The classifier after the last stage.

use sd_layers::{Cost, FeatureShape, Linear, global_average, write_global_average};
use sd_onnx::{Graph, Value};
use tch::{Tensor, nn};

use super::{Exit, ExitOutput};

/// Kinds of head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Global average pool, one linear layer.
    Linear,
    /// VGG's own: two linear layers of this width with ReLU and dropout ½ before the last one.
    /// Its feature is the pooled map, so that D is the last stage's width as elsewhere.
    Classic(i64),
}

impl Head {
    /// The head for maps of this many channels.
    pub fn build(self, vs: &nn::Path, channels: i64, classes: i64) -> Box<dyn Exit> {
        let (hidden, width) = match self {
            Self::Linear => (vec![], channels),
            Self::Classic(width) => {
                let first = Linear::new(&(vs / "hidden1"), channels, width);
                (vec![first, Linear::new(&(vs / "hidden2"), width, width)], width)
            }
        };
        Box::new(Classifier { hidden, linear: Linear::new(&(vs / "linear"), width, classes) })
    }
}

#[derive(Debug)]
struct Classifier {
    hidden: Vec<Linear>,
    linear: Linear,
}

impl Exit for Classifier {
    fn forward(&self, map: &Tensor, train: bool) -> ExitOutput {
        let feature = global_average(map);
        let last = self.hidden.iter().fold(feature.shallow_clone(), |row, layer| {
            row.apply(layer).relu().dropout(0.5, train)
        });
        ExitOutput { logits: last.apply(&self.linear), feature }
    }

    fn cost(&self, _: FeatureShape) -> sd_layers::Result<Cost> {
        Ok(self.hidden.iter().chain([&self.linear]).map(Linear::cost).sum())
    }

    fn onnx(&self, graph: &mut Graph, map: &Value, _: FeatureShape) -> sd_layers::Result<Value> {
        let mut row = write_global_average(graph, map);
        for layer in &self.hidden {
            let hidden = layer.onnx(graph, &row);
            row = graph.node("Relu", &[&hidden], vec![]);
        }
        Ok(self.linear.onnx(graph, &row))
    }
}
