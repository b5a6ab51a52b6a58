//! What is minimised: a map from the exits' outputs and the labels to parts of a loss.

mod deep_supervision;
mod deepest_only;
mod self_distillation;
pub mod terms;

pub use deep_supervision::DeepSupervision;
pub use deepest_only::DeepestOnly;
pub use self_distillation::{SelfDistillation, Teacher};
pub use terms::Term;

use anyhow::{Result, ensure};
use sd_models::ExitOutputs;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// An objective. In TOML: `[objective.self_distillation]` and its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveConfig {
    /// The labels at the deepest exit.
    DeepestOnly(DeepestOnly),
    /// The labels at every exit.
    DeepSupervision(DeepSupervision),
    /// The labels, and the deepest exit as a teacher of the others.
    SelfDistillation(SelfDistillation),
}

/// Weighted scalar parts of a loss; they sum to it.
#[derive(Debug)]
pub struct LossParts(pub Vec<(Term, Tensor)>);

impl LossParts {
    /// The loss.
    pub fn total(&self) -> Tensor {
        let parts: Vec<&Tensor> = self.0.iter().map(|(_, part)| part).collect();
        Tensor::stack(&parts, 0).sum(None)
    }
}

impl ObjectiveConfig {
    /// The loss of a batch with `labels` `[N]`.
    pub fn loss(&self, outputs: &ExitOutputs, labels: &Tensor) -> LossParts {
        match self {
            Self::DeepestOnly(objective) => objective.loss(outputs, labels),
            Self::DeepSupervision(objective) => objective.loss(outputs, labels),
            Self::SelfDistillation(objective) => objective.loss(outputs, labels),
        }
    }

    /// Its name in records.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DeepestOnly(_) => "deepest only",
            Self::DeepSupervision(_) => "deep supervision",
            Self::SelfDistillation(_) => "self-distillation",
        }
    }

    /// Checks the ranges of its values.
    ///
    /// # Errors
    /// Names the value and its range.
    pub fn check(&self) -> Result<()> {
        let smoothing = match self {
            Self::DeepestOnly(objective) => objective.label_smoothing,
            Self::DeepSupervision(objective) => objective.label_smoothing,
            Self::SelfDistillation(objective) => {
                objective.check()?;
                objective.label_smoothing
            }
        };
        ensure!(
            (0.0..1.0).contains(&smoothing),
            "objective: label_smoothing is {smoothing}, expected 0 to below 1"
        );
        Ok(())
    }
}
