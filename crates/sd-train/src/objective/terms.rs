//! Loss terms.

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

use crate::data::Targets;

/// Kind of a loss term; the key in logs, records and reports.
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

/// Cross-entropy of `logits` `[N, K]` with the labels, mean over the batch, against targets that
/// give `smoothing` of their mass to all classes alike (Szegedy et al. 2016). With class weights, the
/// mean is weighted by those of the labels.
pub fn label(logits: &Tensor, targets: &Targets, smoothing: f64) -> Tensor {
    let weights = targets.class_weights.as_ref();
    targets.weighted(|labels| {
        logits.cross_entropy_loss(labels, weights, Reduction::Mean, -100, smoothing)
    })
}

/// T² · KL(teacher ‖ student) of the distributions at temperature T (Hinton et al. 2015,
/// <https://arxiv.org/abs/1503.02531>), summed over classes, mean over the batch. Logits `[N, K]`.
pub fn soft(student: &Tensor, teacher: &Tensor, temperature: f64) -> Tensor {
    let student = (student / temperature).log_softmax(-1, Kind::Float);
    let teacher = (teacher / temperature).log_softmax(-1, Kind::Float);
    let batch = student.size()[0] as f64;
    student.kl_div(&teacher, Reduction::Sum, true) * (temperature * temperature / batch)
}

/// −Σ teacher · log student of the distributions at temperature T, mean over the batch; without
/// the factor T². Its gradient is that of the divergence: the teacher's entropy is a constant.
/// Logits `[N, K]`.
pub fn soft_cross_entropy(student: &Tensor, teacher: &Tensor, temperature: f64) -> Tensor {
    let teacher = (teacher / temperature).softmax(-1, Kind::Float);
    let student = (student / temperature).log_softmax(-1, Kind::Float);
    -(teacher * student).sum_dim_intlist([-1i64].as_slice(), false, None).mean(None)
}

/// Mean of squares of the difference of features `[N, D]` (FitNets, Romero et al. 2015,
/// <https://arxiv.org/abs/1412.6550>).
pub fn hint(student: &Tensor, teacher: &Tensor) -> Tensor {
    student.mse_loss(teacher, Reduction::Mean)
}

/// Sum of squares of the difference of features `[N, D]`, which grows with batch and width.
pub fn hint_sum(student: &Tensor, teacher: &Tensor) -> Tensor {
    student.mse_loss(teacher, Reduction::Sum)
}

/// [`hint_sum`] where the student's or the teacher's value is positive.
pub fn hint_sum_of_active(student: &Tensor, teacher: &Tensor) -> Tensor {
    let active = student.gt(0.0).logical_or(&teacher.gt(0.0));
    ((student - teacher).square() * active).sum(None)
}

/// The root of [`hint_sum`]: the length of the difference of the whole batch.
pub fn hint_length(student: &Tensor, teacher: &Tensor) -> Tensor {
    (student - teacher).norm()
}
