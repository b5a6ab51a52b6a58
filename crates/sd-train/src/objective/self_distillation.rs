//! Self-distillation (Be Your Own Teacher, Zhang et al. 2019,
//! <https://arxiv.org/abs/1905.08094>, equation 5).

use anyhow::{Result, ensure};
use sd_models::{ExitOutput, ExitOutputs};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{LossParts, Term, terms};

/// CE(q_C, y) + Σ over shallow exits i of
/// (1 − α) · CE(qᵢ, y) + α · T² · KL(q_t ‖ qᵢ) at temperature T + λ · mean (Fᵢ − F_t)².
///
/// The teacher's q_t and F_t carry no gradient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfDistillation {
    /// α: the teacher's share of a shallow exit's loss, 0 to 1.
    pub alpha: f64,
    /// T, positive.
    pub temperature: f64,
    /// λ: weight of the features' distance, not negative.
    pub lambda: f64,
    /// Who teaches.
    pub teacher: Teacher,
    /// Mass that the targets give to all classes alike.
    pub label_smoothing: f64,
}

/// Who teaches the shallow exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Teacher {
    /// The deepest exit.
    Deepest,
    /// The mean of all exits' logits and features.
    Mean,
}

impl SelfDistillation {
    /// The loss of a batch.
    pub fn loss(&self, outputs: &ExitOutputs, labels: &Tensor) -> LossParts {
        let label = |logits| terms::label(logits, labels, self.label_smoothing);
        let mut parts = vec![(Term::Label, label(&outputs.deepest.logits))];
        let teacher = self.teacher.of(outputs);
        for student in &outputs.shallow {
            let soft = terms::soft(&student.logits, &teacher.logits, self.temperature);
            let hint = terms::hint(&student.feature, &teacher.feature);
            parts.push((Term::Label, label(&student.logits) * (1.0 - self.alpha)));
            parts.push((Term::Soft, soft * self.alpha));
            parts.push((Term::Hint, hint * self.lambda));
        }
        LossParts(parts)
    }

    pub(super) fn check(&self) -> Result<()> {
        let Self { alpha, temperature, lambda, .. } = *self;
        ensure!((0.0..=1.0).contains(&alpha), "objective: alpha is {alpha}, expected 0 to 1");
        ensure!(
            temperature > 0.0 && temperature.is_finite(),
            "objective: temperature is {temperature}, expected a number above 0"
        );
        ensure!(
            lambda >= 0.0 && lambda.is_finite(),
            "objective: lambda is {lambda}, expected a number of at least 0"
        );
        Ok(())
    }
}

impl Teacher {
    fn of(self, outputs: &ExitOutputs) -> ExitOutput {
        let mean = |tensors: Vec<&Tensor>| {
            Tensor::stack(&tensors, 0).mean_dim([0i64].as_slice(), false, None)
        };
        let (feature, logits) = match self {
            Self::Deepest => {
                (outputs.deepest.feature.shallow_clone(), outputs.deepest.logits.shallow_clone())
            }
            Self::Mean => {
                (mean(outputs.all().map(|exit| &exit.feature).collect()), outputs.ensemble())
            }
        };
        ExitOutput { feature: feature.detach(), logits: logits.detach() }
    }
}
