//! SCAN's journal version, *Self-Distillation: Towards Efficient and Compact Neural Networks*
//! (Zhang et al., TPAMI 2021, <https://doi.org/10.1109/TPAMI.2021.3067100>) with the reductions and
//! weights of its authors' code,
//! <https://github.com/ArchipLab-LinfengZhang/pytorch-self-distillation-final>.

use anyhow::Result;
use schemars::JsonSchema;
use sd_models::ExitOutputs;
use serde::{Deserialize, Serialize};

use super::{LossParts, Objective, Requirements, Teacher, Term, terms};
use crate::data::Targets;
use crate::ranges;

/// CE(q_C, y) + Σ over shallow exits i of (1 − α) · CE(qᵢ, y) + α · CE(q_C, qᵢ) at temperature T
/// + Σ over exits with an adapter A of λ · ‖Aᵢ(Fᵢ) − F_C‖₂, the length over batch and features.
///
/// The comments of the code omit the hint of the shallowest exit, but its index omits that of the
/// deepest shallow exit. With three exits, `adapters = [2, 3]` is the stated form and `[1, 2]` the
/// executed one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tpami {
    /// α: the teacher's share of a shallow exit's loss, 0 to 1; published 0.3.
    pub alpha: f64,
    /// T, positive; published 3.
    pub temperature: f64,
    /// λ: weight of the features' distance, not negative; published 0.03.
    pub lambda: f64,
}

impl Default for Tpami {
    fn default() -> Self {
        Self { alpha: 0.3, temperature: 3.0, lambda: 0.03 }
    }
}

impl Objective for Tpami {
    fn name(&self) -> &'static str {
        "TPAMI"
    }

    fn distils(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        ranges::share("objective: alpha", self.alpha)?;
        ranges::positive("objective: temperature", self.temperature)?;
        ranges::non_negative("objective: lambda", self.lambda)
    }

    fn requirements(&self) -> Requirements {
        Requirements { adapters: true, ..Requirements::default() }
    }

    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts {
        let Self { alpha, temperature, lambda } = *self;
        let label = |logits| terms::label(logits, targets, 0.0);
        let mut parts = vec![(Term::Label, label(&outputs.deepest.logits))];
        for student in Teacher::Deepest.students(outputs) {
            let soft = student.mean(|exit, teacher| {
                terms::soft_cross_entropy(&exit.logits, &teacher.logits, temperature)
            });
            parts.push((Term::Label, label(&student.exit.logits) * (1.0 - alpha)));
            parts.push((Term::Soft, soft * alpha));
        }
        let teacher = outputs.deepest.feature.detach();
        let hint = |adapted| terms::hint_length(adapted, &teacher) * lambda;
        parts.extend(outputs.adapted.iter().map(|adapted| (Term::Hint, hint(adapted))));
        LossParts(parts)
    }
}
