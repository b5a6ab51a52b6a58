//! The plain network: labels at the deepest exit alone.

use anyhow::Result;
use schemars::JsonSchema;
use sd_models::ExitOutputs;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};

use super::{LossParts, Objective, Term, terms};
use crate::data::Targets;
use crate::ranges;

/// CE(q_C, y). Shallow exits, where there are any, learn nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeepestOnly {
    /// Label smoothing, 0 to below 1.
    pub label_smoothing: f64,
}

impl Examples for DeepestOnly {
    fn examples() -> Vec<Self> {
        vec![Self { label_smoothing: 0.0 }]
    }
}

impl Objective for DeepestOnly {
    fn name(&self) -> &'static str {
        "deepest only"
    }

    fn check(&self) -> Result<()> {
        ranges::share_below_one("objective: label_smoothing", self.label_smoothing)
    }

    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts {
        let label = terms::label(&outputs.deepest.logits, targets, self.label_smoothing);
        LossParts(vec![(Term::Label, label)])
    }
}
