//! Deep supervision (Lee et al. 2015, <https://arxiv.org/abs/1409.5185>): labels at every exit,
//! nothing distilled.

use anyhow::Result;
use schemars::JsonSchema;
use sd_models::ExitOutputs;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};

use super::{ExitWeights, LossParts, Objective, Term, terms};
use crate::data::Targets;
use crate::ranges;

/// Σ wᵢ · CE(qᵢ, y) over all exits i.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeepSupervision {
    /// Label smoothing, 0 to below 1.
    pub label_smoothing: f64,
    /// The weights wᵢ, each at least 0, the deepest exit's last; an exit of weight 0 is not trained.
    /// Default: 1 each.
    #[serde(default, skip_serializing_if = "ExitWeights::is_empty")]
    pub exit_weights: ExitWeights,
}

impl Examples for DeepSupervision {
    fn examples() -> Vec<Self> {
        vec![Self { label_smoothing: 0.0, exit_weights: ExitWeights::default() }]
    }
}

impl Objective for DeepSupervision {
    fn name(&self) -> &'static str {
        "deep supervision"
    }

    fn exit_weights(&self) -> Option<&ExitWeights> {
        Some(&self.exit_weights)
    }

    fn check(&self) -> Result<()> {
        ranges::share_below_one("objective: label_smoothing", self.label_smoothing)
    }

    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts {
        let weighted =
            outputs.all().enumerate().map(|(index, exit)| (self.exit_weights.of(index), exit));
        let trained = weighted.filter(|&(weight, _)| weight > 0.0);
        let parts = trained.map(|(weight, exit)| {
            let label = terms::label(&exit.logits, targets, self.label_smoothing);
            (Term::Label, label * weight)
        });
        LossParts(parts.collect())
    }
}
