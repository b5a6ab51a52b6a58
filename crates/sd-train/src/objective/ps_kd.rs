//! Progressive self-knowledge distillation (PS-KD, Kim et al. 2021,
//! <https://arxiv.org/abs/2006.12000>): the network of the previous epoch is the teacher.

use anyhow::Result;
use schemars::JsonSchema;
use sd_models::ExitOutputs;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::ModuleT;

use super::{LossParts, Objective, Requirements, TeacherContext, Term, terms};
use crate::data::Targets;
use crate::ranges;

/// CE(q, (1 − αₜ) · y + αₜ · p) at the deepest exit, where p is the prediction of the network after
/// the previous epoch and αₜ = α · t / epochs in epoch t, from 1. In the first epoch p is y.
///
/// The authors' code stores a prediction for each training image in a table. Here the previous
/// weights are kept and predict the same batch, mixed or not: one more forward pass per step, and no
/// memory that grows with the images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PsKd {
    /// α: the teacher's share in the last epoch, 0 to 1; published 0.8.
    pub alpha: f64,
}

impl Default for PsKd {
    fn default() -> Self {
        Self { alpha: 0.8 }
    }
}

impl Objective for PsKd {
    fn name(&self) -> &'static str {
        "PS-KD"
    }

    fn check(&self) -> Result<()> {
        ranges::share("objective: alpha", self.alpha)
    }

    fn requirements(&self) -> Requirements {
        Requirements { previous_network: true, ..Requirements::default() }
    }

    /// From the second epoch on: before it, there is no previous network.
    fn teacher(&self, context: &TeacherContext) -> Option<Tensor> {
        let previous = context.previous.filter(|_| context.batch.epoch > 0)?;
        Some(previous.forward_t(&context.batch.images, false))
    }

    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts {
        let logits = &outputs.deepest.logits;
        let label = terms::label(logits, targets, 0.0);
        let Some(previous) = &targets.teacher_logits else {
            return LossParts(vec![(Term::Label, label)]);
        };
        let alpha = self.alpha * targets.progress;
        let soft = terms::soft_cross_entropy(logits, previous, 1.0);
        LossParts(vec![(Term::Label, label * (1.0 - alpha)), (Term::Soft, soft * alpha)])
    }
}
