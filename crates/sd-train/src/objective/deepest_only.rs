//! The plain network: labels at the deepest exit alone.

use sd_models::ExitOutputs;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{LossParts, Term, terms};

/// CE(q_C, y). Shallow exits, where there are any, learn nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeepestOnly {
    /// Mass that the targets give to all classes alike.
    pub label_smoothing: f64,
}

impl DeepestOnly {
    /// The loss of a batch.
    pub fn loss(&self, outputs: &ExitOutputs, labels: &Tensor) -> LossParts {
        let label = terms::label(&outputs.deepest.logits, labels, self.label_smoothing);
        LossParts(vec![(Term::Label, label)])
    }
}
