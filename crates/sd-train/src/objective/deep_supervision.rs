//! Deep supervision (Lee et al. 2015, <https://arxiv.org/abs/1409.5185>): labels at every exit,
//! nothing distilled.

use sd_models::ExitOutputs;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{LossParts, Term, terms};

/// Σ CE(qᵢ, y) over all exits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeepSupervision {
    /// Mass that the targets give to all classes alike.
    pub label_smoothing: f64,
}

impl DeepSupervision {
    /// The loss of a batch.
    pub fn loss(&self, outputs: &ExitOutputs, labels: &Tensor) -> LossParts {
        let label = |logits| terms::label(logits, labels, self.label_smoothing);
        LossParts(outputs.all().map(|exit| (Term::Label, label(&exit.logits))).collect())
    }
}
