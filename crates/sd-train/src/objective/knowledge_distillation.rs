//! Knowledge distillation (Hinton et al. 2015, <https://arxiv.org/abs/1503.02531>): a trained network
//! is the teacher.

use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use sd_models::ExitOutputs;
use sd_report::run_folder;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::ModuleT;

use super::{ExitWeights, LossParts, Objective, TeacherContext, Term, terms};
use crate::data::Targets;
use crate::ranges;

/// A trained network that teaches. In TOML: `teacher = { run = "runs/NAME" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TeacherConfig {
    /// Folder of a finished run, whose last weights are used.
    Run(PathBuf),
    /// A weights file of a run, or one that `weights import` wrote.
    Weights(PathBuf),
}

impl TeacherConfig {
    /// The weights file.
    pub fn file(&self) -> PathBuf {
        match self {
            Self::Run(folder) => folder.join(run_folder::MODEL),
            Self::Weights(file) => file.clone(),
        }
    }
}

/// Σ over all exits i of wᵢ · ((1 − α) · CE(qᵢ, y) + α · T² · KL(q_t ‖ qᵢ) at temperature T), where q_t
/// is the prediction of a trained network for the same image, augmented and mixed alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnowledgeDistillation {
    /// The teacher, of the same input and classes. Its deepest exit teaches.
    pub teacher: TeacherConfig,
    /// α: weight of the teacher, 0 to 1.
    pub alpha: f64,
    /// T, positive.
    pub temperature: f64,
    /// Label smoothing, 0 to below 1.
    pub label_smoothing: f64,
    /// The weights wᵢ, each at least 0, the deepest exit's last; an exit of weight 0 is not trained.
    /// Default: 1 each.
    #[serde(default, skip_serializing_if = "ExitWeights::is_empty")]
    pub exit_weights: ExitWeights,
}

impl Examples for KnowledgeDistillation {
    fn examples() -> Vec<Self> {
        vec![Self {
            teacher: TeacherConfig::Run("runs/TEACHER".into()),
            alpha: 0.9,
            temperature: 4.0,
            label_smoothing: 0.0,
            exit_weights: ExitWeights::default(),
        }]
    }
}

impl Objective for KnowledgeDistillation {
    fn name(&self) -> &'static str {
        "knowledge distillation"
    }

    fn exit_weights(&self) -> Option<&ExitWeights> {
        Some(&self.exit_weights)
    }

    fn trained_teacher(&self) -> Option<&TeacherConfig> {
        Some(&self.teacher)
    }

    fn check(&self) -> Result<()> {
        ranges::share("objective: alpha", self.alpha)?;
        ranges::positive("objective: temperature", self.temperature)?;
        ranges::share_below_one("objective: label_smoothing", self.label_smoothing)
    }

    fn teacher(&self, context: &TeacherContext) -> Option<Tensor> {
        Some(context.trained?.forward_t(&context.batch.images, false))
    }

    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts {
        let teacher = targets.teacher_logits.as_ref().expect("the trained teacher's logits");
        let mut parts = Vec::new();
        for (index, exit) in outputs.all().enumerate() {
            let weight = self.exit_weights.of(index);
            if weight == 0.0 {
                continue;
            }
            let label = terms::label(&exit.logits, targets, self.label_smoothing);
            let soft = terms::soft(&exit.logits, teacher, self.temperature);
            parts.push((Term::Label, label * (weight * (1.0 - self.alpha))));
            parts.push((Term::Soft, soft * (weight * self.alpha)));
        }
        LossParts(parts)
    }
}
