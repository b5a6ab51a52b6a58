//! Deep supervision (Lee et al. 2015, <https://arxiv.org/abs/1409.5185>): labels at every exit,
//! nothing distilled.

use anyhow::Result;
use schemars::JsonSchema;
use sd_models::ExitOutputs;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};

use super::{LossParts, Objective, Term, terms};
use crate::data::Targets;
use crate::ranges;

/// Σ CE(qᵢ, y) over all exits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeepSupervision {
    /// Label smoothing, 0 to below 1.
    pub label_smoothing: f64,
}

impl Examples for DeepSupervision {
    fn examples() -> Vec<Self> {
        vec![Self { label_smoothing: 0.0 }]
    }
}

impl Objective for DeepSupervision {
    fn name(&self) -> &'static str {
        "deep supervision"
    }

    fn check(&self) -> Result<()> {
        ranges::share_below_one("objective: label_smoothing", self.label_smoothing)
    }

    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts {
        let label = |logits| terms::label(logits, targets, self.label_smoothing);
        LossParts(outputs.all().map(|exit| (Term::Label, label(&exit.logits))).collect())
    }
}
