//! The guard against losses and gradients that are not finite.

use std::fmt;

use anyhow::{Result, ensure};
use sd_distributed::Processes;
use sd_models::variables;
use tch::{Tensor, nn};

use super::checkpoint::CheckpointTensors;
use super::step_stats::{StepRecord, StepStats};
use crate::experiment::NonFinitePolicy;
use crate::objective::Term;

/// Consecutive skipped steps after which the run fails.
const MAX_SKIPPED: u64 = 16;

/// Applies a [`NonFinitePolicy`] to steps.
#[derive(Debug)]
pub struct NonFiniteGuard {
    policy: NonFinitePolicy,
    skipped_in_a_row: u64,
}

impl NonFiniteGuard {
    /// A guard before the first step.
    pub const fn new(policy: NonFinitePolicy) -> Self {
        Self { policy, skipped_in_a_row: 0 }
    }

    /// Copies the running statistics before a step that may be skipped: the forward pass changes
    /// them before its loss is known.
    pub fn save_statistics(&self, vs: &nn::VarStore) -> Option<RunningStatistics> {
        (self.policy == NonFinitePolicy::Skip).then(|| RunningStatistics::copy(vs))
    }

    /// Whether the step must be skipped. If so, `statistics` are restored.
    ///
    /// # Errors
    /// After too many skipped steps in a row, or if another of the processes is gone.
    pub fn skips(
        &mut self,
        stats: &StepStats,
        statistics: Option<RunningStatistics>,
        processes: &Processes,
    ) -> Result<bool> {
        let Some(statistics) = statistics else { return Ok(false) };
        let Some(value) = NonFiniteValue::find(&stats.read(processes)?) else {
            self.skipped_in_a_row = 0;
            return Ok(false);
        };
        tracing::warn!("{value}: the step is skipped");
        statistics.restore();
        self.skipped_in_a_row += 1;
        ensure!(
            self.skipped_in_a_row < MAX_SKIPPED,
            "{value}: {MAX_SKIPPED} steps in a row are skipped: training makes no progress"
        );
        Ok(true)
    }
}

/// Name of the first tensor with a number that is not finite. Waits for the device once.
pub fn non_finite_tensor(tensors: &CheckpointTensors) -> Option<String> {
    let (names, finite): (Vec<_>, Vec<_>) = tensors
        .named()
        .filter(|(_, tensor)| tensor.is_floating_point())
        .map(|(name, tensor)| (name, tensor.isfinite().all()))
        .unzip();
    if finite.is_empty() {
        return None;
    }
    let finite: Vec<bool> = Vec::try_from(Tensor::stack(&finite, 0)).expect("a row of booleans");
    finite.iter().position(|finite| !finite).map(|index| names[index].clone())
}

/// A number of a step that is not finite.
#[derive(Debug, Clone, PartialEq)]
pub struct NonFiniteValue {
    name: String,
    value: f64,
    step: u64,
    rate: f64,
}

impl NonFiniteValue {
    /// Finds the first number of a step that is not finite.
    pub fn find(record: &StepRecord) -> Option<Self> {
        let &StepRecord { step, rate, gradient_norm, .. } = record;
        let term = |(term, mean): (&Term, &f64)| (format!("{} loss", term.name()), *mean);
        let norm = ("gradient norm".to_owned(), gradient_norm);
        let mut numbers = record.terms.iter().map(term).chain([norm]);
        let (name, value) = numbers.find(|(_, value)| !value.is_finite())?;
        Some(Self { name, value, step, rate })
    }
}

impl fmt::Display for NonFiniteValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, step, rate } = self;
        write!(f, "the {name} is {value} in step {step}, learning rate {rate:.6}")
    }
}

/// The running statistics of a network with these variables, and its frozen parameters.
pub fn running_statistics(vs: &nn::VarStore) -> impl Iterator<Item = Tensor> {
    variables(vs).into_values().filter(|variable| !variable.requires_grad())
}

/// A copy of the running statistics of a network.
#[derive(Debug)]
pub struct RunningStatistics(Vec<(Tensor, Tensor)>);

impl RunningStatistics {
    fn copy(vs: &nn::VarStore) -> Self {
        Self(running_statistics(vs).map(|now| (now.shallow_clone(), now.copy())).collect())
    }

    fn restore(self) {
        let _no_grad = tch::no_grad_guard();
        for (mut now, before) in self.0 {
            now.copy_(&before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_first_non_finite_number() {
        let record = |label: f64, gradient_norm: f64| StepRecord {
            step: 7,
            rate: 0.1,
            terms: [(Term::Label, label), (Term::Hint, 2.0)].into(),
            gradient_norm,
        };
        let message =
            |label, norm| NonFiniteValue::find(&record(label, norm)).map(|value| value.to_string());
        assert_eq!(message(1.0, 3.0), None);
        assert_eq!(
            message(f64::NAN, f64::NAN).unwrap(),
            "the label loss is NaN in step 7, learning rate 0.100000"
        );
        assert_eq!(
            message(1.0, f64::INFINITY).unwrap(),
            "the gradient norm is inf in step 7, learning rate 0.100000"
        );
    }
}
