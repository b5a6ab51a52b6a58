//! The classifier after the last stage.

use sd_layers::{Cost, FeatureShape, Linear, global_average};
use tch::{Tensor, nn};

use super::{Exit, ExitOutput};

/// Kinds of head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Global average pool, one linear layer.
    Linear,
    /// VGG's own: two linear layers of this width with ReLU and dropout ½ before the last one, on
    /// the map averaged to `side`×`side` and flattened. Its feature is the map averaged to one
    /// position, so that D is the last stage's width as elsewhere.
    Classic {
        /// Width of the two layers.
        width: i64,
        /// Height and width of what the first layer sees.
        side: i64,
    },
}

impl Head {
    /// The head for maps of this many channels.
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
            // Flattened channel by channel, however the map lies in memory.
            side => map.adaptive_avg_pool2d([side, side]).flatten(1, -1),
        };
        let last =
            self.hidden.iter().fold(row, |row, layer| row.apply(layer).relu().dropout(0.5, train));
        ExitOutput { logits: last.apply(&self.linear), feature }
    }

    fn cost(&self, _: FeatureShape) -> sd_layers::Result<Cost> {
        Ok(self.hidden.iter().chain([&self.linear]).map(Linear::cost).sum())
    }
}
