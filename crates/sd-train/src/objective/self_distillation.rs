//! Self-distillation (Be Your Own Teacher, Zhang et al. 2019,
//! <https://arxiv.org/abs/1905.08094>, equation 5).

use anyhow::Result;
use schemars::JsonSchema;
use sd_models::ExitOutputs;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};

use super::{ExitWeights, LossParts, Objective, Teacher, Term, terms};
use crate::data::Targets;
use crate::ranges;

/// w_C · CE(q_C, y) + Σ over shallow exits i of
/// wᵢ · ((1 − α) · CE(qᵢ, y) + α · T² · KL(q_t ‖ qᵢ) at temperature T + λ · mean (Fᵢ − F_t)²).
///
/// The teacher's q_t and F_t carry no gradient. An exit with several teachers has the mean of
/// their terms; where the deepest exit is a student too, it has the same terms as the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelfDistillation {
    /// α: weight of the teacher in a shallow exit's loss, 0 to 1.
    pub alpha: f64,
    /// T, positive.
    pub temperature: f64,
    /// λ: weight of the feature distance, at least 0.
    pub lambda: f64,
    /// The teacher.
    pub teacher: Teacher,
    /// Label smoothing, 0 to below 1.
    pub label_smoothing: f64,
    /// The weights wᵢ, each at least 0, the deepest exit's last; an exit of weight 0 is not trained.
    /// Default: 1 each.
    #[serde(default, skip_serializing_if = "ExitWeights::is_empty")]
    pub exit_weights: ExitWeights,
}

impl Examples for SelfDistillation {
    fn examples() -> Vec<Self> {
        [Teacher::Deepest, Teacher::Mean, Teacher::AllPairs]
            .map(|teacher| Self {
                alpha: 0.3,
                temperature: 3.0,
                lambda: 0.03,
                teacher,
                label_smoothing: 0.0,
                exit_weights: ExitWeights::default(),
            })
            .into()
    }
}

impl Objective for SelfDistillation {
    fn name(&self) -> &'static str {
        "self-distillation"
    }

    fn distils(&self) -> bool {
        true
    }

    fn exit_weights(&self) -> Option<&ExitWeights> {
        Some(&self.exit_weights)
    }

    fn check(&self) -> Result<()> {
        ranges::share("objective: alpha", self.alpha)?;
        ranges::positive("objective: temperature", self.temperature)?;
        ranges::non_negative("objective: lambda", self.lambda)?;
        ranges::share_below_one("objective: label_smoothing", self.label_smoothing)
    }

    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts {
        let label = |logits| terms::label(logits, targets, self.label_smoothing);
        let students = self.teacher.students(outputs);
        let mut parts = Vec::new();
        let deepest = self.exit_weights.of(outputs.shallow.len());
        if students.len() == outputs.shallow.len() && deepest > 0.0 {
            parts.push((Term::Label, label(&outputs.deepest.logits) * deepest));
        }
        for (index, student) in students.iter().enumerate() {
            let weight = self.exit_weights.of(index);
            if weight == 0.0 {
                continue;
            }
            let soft = student
                .mean(|exit, teacher| terms::soft(&exit.logits, &teacher.logits, self.temperature));
            let hint = student.mean(|exit, teacher| terms::hint(&exit.feature, &teacher.feature));
            parts.push((Term::Label, label(&student.exit.logits) * (weight * (1.0 - self.alpha))));
            parts.push((Term::Soft, soft * (weight * self.alpha)));
            parts.push((Term::Hint, hint * (weight * self.lambda)));
        }
        LossParts(parts)
    }
}
