//! The plain network: labels at the deepest exit alone.

use anyhow::Result;
use schemars::JsonSchema;
use sd_models::ExitOutputs;
use serde::{Deserialize, Serialize};

use super::{LossParts, Objective, Targets, Term, ranges, terms};

/// CE(q_C, y). Shallow exits, where there are any, learn nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeepestOnly {
    /// Mass that the targets give to all classes alike.
    pub label_smoothing: f64,
}

impl Objective for DeepestOnly {
    fn name(&self) -> &'static str {
        "deepest only"
    }

    fn check(&self) -> Result<()> {
        ranges::share_below_one("label_smoothing", self.label_smoothing)
    }

    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts {
        let label = terms::label(&outputs.deepest.logits, targets, self.label_smoothing);
        LossParts(vec![(Term::Label, label)])
    }
}
