//! Teacher-free distillation by regularisation (Yuan et al. 2020,
//! <https://arxiv.org/abs/1909.11723>): a hand-designed teacher.

use anyhow::Result;
use schemars::JsonSchema;
use sd_models::ExitOutputs;
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction};

use super::{LossParts, Objective, Term, terms};
use crate::data::Targets;
use crate::ranges;

/// (1 − α) · CE(q, y) + α · KL(softmax(u / T) ‖ q) at the deepest exit, where u gives `correct` to
/// the label and the rest to all other classes alike. Of a mixture, u is the mixture.
///
/// The student is not softened, and the divergence is summed over classes, mean over the batch, as
/// in the authors' code, <https://github.com/yuanli2333/Teacher-free-Knowledge-Distillation>: its
/// mean over batch and classes times its `multiplier` 100 is that for 100 classes. T divides
/// numbers from 0 to 1, so that the teacher is nearly flat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TfKd {
    /// α: the teacher's share, 0 to 1; published for ResNet-18 on CIFAR-100 0.1.
    pub alpha: f64,
    /// T, positive; published for ResNet-18 on CIFAR-100 20.
    pub temperature: f64,
    /// What the teacher gives to the label, 0 to 1; published 0.99.
    pub correct: f64,
}

impl Default for TfKd {
    fn default() -> Self {
        Self { alpha: 0.1, temperature: 20.0, correct: 0.99 }
    }
}

impl Objective for TfKd {
    fn name(&self) -> &'static str {
        "Tf-KD"
    }

    fn check(&self) -> Result<()> {
        ranges::share("objective: alpha", self.alpha)?;
        ranges::positive("objective: temperature", self.temperature)?;
        ranges::share("objective: correct", self.correct)
    }

    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts {
        let Self { alpha, temperature, correct } = *self;
        let logits = &outputs.deepest.logits;
        let (batch, classes) = logits.size2().expect("logits are [N, K]");
        let other = (1.0 - correct) / (classes - 1) as f64;
        let by_hand = targets.distribution(classes) * (correct - other) + other;
        let teacher = (by_hand / temperature).log_softmax(-1, Kind::Float);
        let student = logits.log_softmax(-1, Kind::Float);
        let soft = student.kl_div(&teacher, Reduction::Sum, true) / batch as f64;
        LossParts(vec![
            (Term::Label, terms::label(logits, targets, 0.0) * (1.0 - alpha)),
            (Term::Soft, soft * alpha),
        ])
    }
}
