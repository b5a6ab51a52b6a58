//! Objectives: from the outputs of all exits and the targets to the loss.

mod byot;
mod cs_kd;
mod deep_supervision;
mod deepest_only;
mod exit_weights;
mod knowledge_distillation;
mod ps_kd;
mod scan;
mod self_distillation;
mod teacher;
pub mod terms;
mod tf_kd;
mod tpami;

pub use exit_weights::ExitWeights;
pub use knowledge_distillation::TeacherConfig;
pub use teacher::{Student, Teacher};
pub use terms::Term;

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use sd_models::{ExitOutputs, ModelConfig, MultiExit};
use sd_variants::variants;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::data::{Targets, TrainBatch};

variants! {
    /// An objective. In TOML: `[objective.self_distillation]` and its values.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum ObjectiveConfig: Objective {
        DeepestOnly(deepest_only::DeepestOnly),
        DeepSupervision(deep_supervision::DeepSupervision),
        SelfDistillation(self_distillation::SelfDistillation),
        KnowledgeDistillation(knowledge_distillation::KnowledgeDistillation),
        Byot(byot::Byot),
        Scan(scan::Scan),
        Tpami(tpami::Tpami),
        TfKd(tf_kd::TfKd),
        PsKd(ps_kd::PsKd),
        CsKd(cs_kd::CsKd),
    }
}

/// A loss to minimise.
pub trait Objective {
    /// Its name in records.
    fn name(&self) -> &'static str;

    /// Whether shallow exits learn from deeper exits of the same network.
    fn distils(&self) -> bool {
        false
    }

    /// Checks the ranges of its values.
    ///
    /// # Errors
    /// Names the value and its range.
    fn check(&self) -> Result<()>;

    /// The weights of the exits, if it has any.
    fn exit_weights(&self) -> Option<&ExitWeights> {
        None
    }

    /// What it requires beside the network's outputs and the labels.
    fn requirements(&self) -> Requirements {
        Requirements::default()
    }

    /// The trained network that teaches, if one does.
    fn trained_teacher(&self) -> Option<&TeacherConfig> {
        None
    }

    /// The logits `[N, K]` of a teacher other than the exits of the same batch, if it has one.
    /// Called without gradient, after the forward pass.
    fn teacher(&self, context: &TeacherContext) -> Option<Tensor> {
        let _ = context;
        None
    }

    /// The loss of a batch.
    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts;
}

/// What an objective requires beside the network's outputs and the labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Adapters on the exits' features: `model.exits.adapters`.
    pub adapters: bool,
    /// For each image another image of its class.
    pub partner_images: bool,
    /// The network after the previous epoch.
    pub previous_network: bool,
}

/// What a teacher's logits can be computed from.
#[derive(Debug, Clone, Copy)]
pub struct TeacherContext<'a> {
    /// The network in training.
    pub network: &'a MultiExit,
    /// The network after the previous epoch, if it is required.
    pub previous: Option<&'a MultiExit>,
    /// The trained network that teaches, if the objective names one.
    pub trained: Option<&'a MultiExit>,
    /// The batch.
    pub batch: &'a TrainBatch,
}

/// Weighted terms of a loss, each `[]`. The loss is their sum.
#[derive(Debug)]
pub struct LossParts(pub Vec<(Term, Tensor)>);

impl LossParts {
    /// The loss, `[]`.
    pub fn total(&self) -> Tensor {
        let parts: Vec<&Tensor> = self.0.iter().map(|(_, part)| part).collect();
        Tensor::stack(&parts, 0).sum(None)
    }
}

impl ObjectiveConfig {
    /// Checks the ranges of its values, that there is a weight for each exit, and that the model has
    /// adapters exactly if they are used.
    ///
    /// # Errors
    /// Names the value and its range, or the adapters.
    pub fn check(&self, model: &ModelConfig) -> Result<()> {
        let objective = self.get();
        let name = objective.name();
        let adapters = model.exits.as_ref().is_some_and(|exits| !exits.adapters.is_empty());
        if objective.requirements().adapters {
            ensure!(adapters, "model.exits.adapters is [], expected some for the hint of {name}");
        } else {
            ensure!(!adapters, "model.exits.adapters are not used by {name}, expected []");
        }
        if let Some(weights) = objective.exit_weights() {
            weights.check(1 + model.exits.as_ref().map_or(0, |exits| exits.after.len()))?;
        }
        objective.check()
    }
}
