//! Be Your Own Teacher (Zhang et al. 2019, <https://arxiv.org/abs/1905.08094>) with the reductions
//! and weights of its public re-implementation,
//! <https://github.com/luanyunteng/pytorch-be-your-own-teacher>.

use anyhow::Result;
use schemars::JsonSchema;
use sd_models::ExitOutputs;
use serde::{Deserialize, Serialize};

use super::{LossParts, Objective, Teacher, Term, terms};
use crate::data::Targets;
use crate::ranges;

/// Σ over all exits of (1 − α) · CE(qᵢ, y), and over shallow exits of
/// α · T² · CE(q_C, qᵢ) at temperature T + β · Σ (Fᵢ − F_C)² where Fᵢ or F_C is positive.
///
/// The last sum is over batch and features: published β is for batches of 128.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Byot {
    /// α: the teacher's share of the logits' loss, 0 to 1; published 0.1.
    pub alpha: f64,
    /// T, positive; published 3.
    pub temperature: f64,
    /// β: weight of the features' distance, not negative; published 1e-6.
    pub beta: f64,
}

impl Default for Byot {
    fn default() -> Self {
        Self { alpha: 0.1, temperature: 3.0, beta: 1e-6 }
    }
}

impl Objective for Byot {
    fn name(&self) -> &'static str {
        "BYOT"
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
        let label = |logits| (Term::Label, terms::label(logits, targets, 0.0) * (1.0 - alpha));
        let mut parts: Vec<_> = outputs.all().map(|exit| label(&exit.logits)).collect();
        for student in Teacher::Deepest.students(outputs) {
            let soft = student.mean(|exit, teacher| {
                terms::soft_cross_entropy(&exit.logits, &teacher.logits, temperature)
            });
            let hint = student
                .mean(|exit, teacher| terms::hint_sum_of_active(&exit.feature, &teacher.feature));
            parts.push((Term::Soft, soft * (alpha * temperature * temperature)));
            parts.push((Term::Hint, hint * beta));
        }
        LossParts(parts)
    }
}
