//! SCAN (Zhang et al. 2019, <https://arxiv.org/abs/1906.03951>) with the reductions and weights of
//! its authors' code, <https://github.com/ArchipLab-LinfengZhang/pytorch-scalable-neural-networks>.

use anyhow::Result;
use schemars::JsonSchema;
use sd_models::ExitOutputs;
use serde::{Deserialize, Serialize};

use super::{LossParts, Objective, Teacher, Term, terms};
use crate::data::Targets;
use crate::ranges;

/// CE(q_C, y) + Σ over shallow exits i of
/// (1 − α) · CE(qᵢ, y) + α · T² · CE(q_C, qᵢ) at temperature T + β · Σ (Fᵢ − F_C)².
///
/// The last sum is over batch and features: published β is for batches of 128.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scan {
    /// α: the teacher's share of a shallow exit's loss, 0 to 1; published 0.5.
    pub alpha: f64,
    /// T, positive; published 3.
    pub temperature: f64,
    /// β: weight of the features' distance, not negative; published 5e-7.
    pub beta: f64,
}

impl Default for Scan {
    fn default() -> Self {
        Self { alpha: 0.5, temperature: 3.0, beta: 5e-7 }
    }
}

impl Objective for Scan {
    fn name(&self) -> &'static str {
        "SCAN"
    }

    fn distils(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        ranges::share("objective: alpha", self.alpha)?;
        ranges::positive("objective: temperature", self.temperature)?;
        ranges::non_negative("objective: beta", self.beta)
    }

    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts {
        let Self { alpha, temperature, beta } = *self;
        let label = |logits| terms::label(logits, targets, 0.0);
        let mut parts = vec![(Term::Label, label(&outputs.deepest.logits))];
        for student in Teacher::Deepest.students(outputs) {
            let soft = student.mean(|exit, teacher| {
                terms::soft_cross_entropy(&exit.logits, &teacher.logits, temperature)
            });
            let hint =
                student.mean(|exit, teacher| terms::hint_sum(&exit.feature, &teacher.feature));
            parts.push((Term::Label, label(&student.exit.logits) * (1.0 - alpha)));
            parts.push((Term::Soft, soft * (alpha * temperature * temperature)));
            parts.push((Term::Hint, hint * beta));
        }
        LossParts(parts)
    }
}
