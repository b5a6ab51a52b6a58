//! Class-wise self-knowledge distillation (CS-KD, Yun et al. 2020,
//! <https://arxiv.org/abs/2003.13964>): the prediction for another image of the class is the teacher.

use anyhow::Result;
use schemars::JsonSchema;
use sd_models::ExitOutputs;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::ModuleT;

use super::{LossParts, Objective, Requirements, TeacherContext, Term, terms};
use crate::data::Targets;
use crate::ranges;

/// CE(q, y) + λ · T² · KL(q′ ‖ q) at temperature T at the deepest exit, where q′, without gradient,
/// is the network's prediction for another image of the class. For a mixture, the partner is the same
/// mixture of the partners.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CsKd {
    /// T, positive; published 4.
    pub temperature: f64,
    /// λ, not negative; published 1.
    pub lambda: f64,
}

impl Default for CsKd {
    fn default() -> Self {
        Self { temperature: 4.0, lambda: 1.0 }
    }
}

impl Objective for CsKd {
    fn name(&self) -> &'static str {
        "CS-KD"
    }

    fn check(&self) -> Result<()> {
        ranges::positive("objective: temperature", self.temperature)?;
        ranges::non_negative("objective: lambda", self.lambda)
    }

    fn requirements(&self) -> Requirements {
        Requirements { partner_images: true, ..Requirements::default() }
    }

    /// In training mode, as in the authors' code: batch norm treats the partners as a batch of
    /// their own and counts them in its running statistics.
    fn teacher(&self, context: &TeacherContext) -> Option<Tensor> {
        Some(context.network.forward_t(context.batch.partners.as_ref()?, true))
    }

    /// # Panics
    /// Without the logits of the partner images that it requires.
    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts {
        let logits = &outputs.deepest.logits;
        let partners = targets.teacher_logits.as_ref().expect("CS-KD requires partner images");
        let soft = terms::soft(logits, partners, self.temperature);
        LossParts(vec![
            (Term::Label, terms::label(logits, targets, 0.0)),
            (Term::Soft, soft * self.lambda),
        ])
    }
}
