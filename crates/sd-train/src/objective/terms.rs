//! The terms that objectives are made of.

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

/// What a part of the loss is for; the key of logs, records and the report's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// Cross-entropy with the labels.
    Label,
    /// Divergence from the teacher's softened distribution.
    Soft,
    /// Distance to the teacher's feature.
    Hint,
}

impl Term {
    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Soft => "soft",
            Self::Hint => "hint",
        }
    }
}

/// Cross-entropy of `logits` `[N, K]` with `labels` `[N]`, mean over the batch, against targets
/// that give `smoothing` of their mass to all classes alike (Szegedy et al. 2016).
pub fn label(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Tensor {
    logits.cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, smoothing)
}

/// T² · KL(teacher ‖ student) of the distributions at temperature T (Hinton et al. 2015,
/// <https://arxiv.org/abs/1503.02531>), summed over classes, mean over the batch. Logits `[N, K]`.
pub fn soft(student: &Tensor, teacher: &Tensor, temperature: f64) -> Tensor {
    let student = (student / temperature).log_softmax(-1, Kind::Float);
    let teacher = (teacher / temperature).log_softmax(-1, Kind::Float);
    let batch = student.size()[0] as f64;
    student.kl_div(&teacher, Reduction::Sum, true) * (temperature * temperature / batch)
}

/// Mean of squares of the difference of features `[N, D]` (FitNets, Romero et al. 2015,
/// <https://arxiv.org/abs/1412.6550>).
pub fn hint(student: &Tensor, teacher: &Tensor) -> Tensor {
    student.mse_loss(teacher, Reduction::Mean)
}
