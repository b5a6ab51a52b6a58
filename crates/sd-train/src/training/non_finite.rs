//! What a step does about losses and gradients that are not finite.

use std::fmt;

use anyhow::Result;
use sd_distributed::Processes;
use sd_models::variables;
use tch::{Tensor, nn};

use super::checkpoint::CheckpointTensors;
use super::step_stats::{StepRecord, StepStats};
use crate::experiment::NonFinitePolicy;
use crate::objective::Term;

impl NonFinitePolicy {
    /// Copies the running statistics before a step that may be skipped: the forward pass changes
    /// them before its loss is known.
    pub fn save_statistics(self, vs: &nn::VarStore) -> Option<RunningStatistics> {
        (self == Self::Skip).then(|| RunningStatistics::copy(vs))
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

/// The running statistics that a network with these variables learns: those of frozen parts stay.
pub fn running_statistics(vs: &nn::VarStore) -> Vec<Tensor> {
    let variables = variables(vs);
    let is_learnt = |name: &str| {
        let norm = ["running_mean", "running_var"].iter().find_map(|of| name.strip_suffix(of));
        norm.is_some_and(|norm| variables[&format!("{norm}weight")].requires_grad())
    };
    let learnt = variables.iter().filter(|(name, _)| is_learnt(name));
    learnt.map(|(_, variable)| variable.shallow_clone()).collect()
}

/// A copy of the running statistics of a network.
#[derive(Debug)]
pub struct RunningStatistics(Vec<(Tensor, Tensor)>);

impl RunningStatistics {
    fn copy(vs: &nn::VarStore) -> Self {
        Self(
            running_statistics(vs)
                .into_iter()
                .map(|now| (now.shallow_clone(), now.copy()))
                .collect(),
        )
    }

    /// Restores the statistics if a loss or the gradient norm of the step is not finite. Returns
    /// whether they were: the step is then to be skipped.
    ///
    /// # Errors
    /// If another of the processes is gone.
    pub fn restore_if_not_finite(self, stats: &StepStats, processes: &Processes) -> Result<bool> {
        let Some(value) = NonFiniteValue::find(&stats.read(processes)?) else { return Ok(false) };
        tracing::warn!("{value}: the step is skipped");
        self.restore();
        Ok(true)
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
