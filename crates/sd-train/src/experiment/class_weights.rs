//! Weights of the classes in the loss.

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ranges;

/// Weights of the classes in the cross-entropy with the labels: the weighted mean over a batch,
/// Σ w_y · loss / Σ w_y, as in PyTorch's `CrossEntropyLoss(weight)`. Other terms are not weighted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeightsConfig {
    /// N / (K · N_c) for N training images in K classes, N_c of them in class c, as scikit-learn's
    /// `class_weight="balanced"`.
    Balanced,
    /// A weight above 0 for each class, in the order of the class names.
    Given(Vec<f64>),
}

impl ClassWeightsConfig {
    /// Checks number and range of the weights.
    ///
    /// # Errors
    /// Names the key, what was found and what was expected.
    pub fn check(&self, classes: usize) -> Result<()> {
        let Self::Given(weights) = self else { return Ok(()) };
        ensure!(
            weights.len() == classes,
            "train.class_weights.given has {} entries, expected {classes}, one per class",
            weights.len()
        );
        weights.iter().try_for_each(|&weight| ranges::positive("train.class_weights.given", weight))
    }

    /// The weights for this number of training images of each class. A class without images counts
    /// as if it had one.
    pub fn weights(&self, of_class: &[usize]) -> Vec<f32> {
        let mean = of_class.iter().sum::<usize>() as f64 / of_class.len() as f64;
        match self {
            Self::Balanced => {
                of_class.iter().map(|&images| (mean / images.max(1) as f64) as f32).collect()
            }
            Self::Given(weights) => weights.iter().map(|&weight| weight as f32).collect(),
        }
    }
}
