//! What is minimised: a map from the exits' outputs and the targets to parts of a loss.

mod byot;
mod cs_kd;
mod deep_supervision;
mod deepest_only;
mod ps_kd;
mod ranges;
mod scan;
mod self_distillation;
mod targets;
mod teacher;
pub mod terms;
mod tf_kd;
mod tpami;

pub use byot::Byot;
pub use cs_kd::CsKd;
pub use deep_supervision::DeepSupervision;
pub use deepest_only::DeepestOnly;
pub use ps_kd::PsKd;
pub use scan::Scan;
pub use self_distillation::SelfDistillation;
pub use targets::{Mixed, Targets};
pub use teacher::{Pupil, Teacher};
pub use terms::Term;
pub use tf_kd::TfKd;
pub use tpami::Tpami;

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use sd_models::{ExitOutputs, ModelConfig};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// An objective. In TOML: `[objective.self_distillation]` and its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveConfig {
    /// The labels at the deepest exit.
    DeepestOnly(DeepestOnly),
    /// The labels at every exit.
    DeepSupervision(DeepSupervision),
    /// The labels, and exits that teach others.
    SelfDistillation(SelfDistillation),
    /// Be Your Own Teacher as its public re-implementation weighs it.
    Byot(Byot),
    /// SCAN as its authors' code weighs it.
    Scan(Scan),
    /// SCAN's journal version as its authors' code weighs it.
    Tpami(Tpami),
    /// A teacher made by hand.
    TfKd(TfKd),
    /// The network of the epoch before as a teacher.
    PsKd(PsKd),
    /// Another image of the class as a teacher.
    CsKd(CsKd),
}

/// What an objective looks at besides the network's outputs and the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Features through adapters.
    Adapters,
    /// As its reference, what the network says of another image of the class.
    Partners,
    /// As its reference, what the network of the epoch before says of the image; from the second
    /// epoch on.
    Previous,
}

/// Something to minimise.
pub trait Objective {
    /// Its name in records.
    fn name(&self) -> &'static str;

    /// Checks the ranges of its values.
    ///
    /// # Errors
    /// Names the value and its range.
    fn check(&self) -> Result<()>;

    /// What it looks at besides the network's outputs and the labels.
    fn needs(&self) -> Needs {
        Needs::Nothing
    }

    /// The loss of a batch.
    fn loss(&self, outputs: &ExitOutputs, targets: &Targets) -> LossParts;
}

/// Weighted scalar parts of a loss; they sum to it.
#[derive(Debug)]
pub struct LossParts(pub Vec<(Term, Tensor)>);

impl LossParts {
    /// The loss.
    pub fn total(&self) -> Tensor {
        let parts: Vec<&Tensor> = self.0.iter().map(|(_, part)| part).collect();
        Tensor::stack(&parts, 0).sum(None)
    }
}

impl ObjectiveConfig {
    /// The objective.
    pub fn get(&self) -> &dyn Objective {
        match self {
            Self::DeepestOnly(objective) => objective,
            Self::DeepSupervision(objective) => objective,
            Self::SelfDistillation(objective) => objective,
            Self::Byot(objective) => objective,
            Self::Scan(objective) => objective,
            Self::Tpami(objective) => objective,
            Self::TfKd(objective) => objective,
            Self::PsKd(objective) => objective,
            Self::CsKd(objective) => objective,
        }
    }

    /// Checks the ranges of its values, and that it uses the adapters that there are.
    ///
    /// # Errors
    /// Names the value and its range, or the adapters.
    pub fn check(&self, model: &ModelConfig) -> Result<()> {
        let adapters = model.exits.as_ref().is_some_and(|exits| !exits.adapters.is_empty());
        let name = self.get().name();
        if self.get().needs() == Needs::Adapters {
            ensure!(adapters, "model.exits.adapters is [], expected some for the hint of {name}");
        } else {
            ensure!(!adapters, "model.exits.adapters are not used by {name}, expected []");
        }
        self.get().check()
    }
}
