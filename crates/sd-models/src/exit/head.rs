//! The classifier after the last stage.

use sd_layers::{Linear, Sequential};
use tch::nn;

use super::Classifier;

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
    pub fn build(self, vs: &nn::Path, channels: i64, classes: i64) -> Classifier {
        let (side, hidden, width) = match self {
            Self::Linear => (1, vec![], channels),
            Self::Classic { width, side } => {
                let first = Linear::new(&(vs / "hidden1"), channels * side * side, width);
                (side, vec![first, Linear::new(&(vs / "hidden2"), width, width)], width)
            }
        };
        let linear = Linear::new(&(vs / "linear"), width, classes);
        Classifier { body: Sequential::new(), side, hidden, linear }
    }
}
