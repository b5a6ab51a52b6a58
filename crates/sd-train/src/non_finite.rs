//! Losses and gradients that are not finite, and what is done then.

use std::fmt;

use schemars::JsonSchema;
use sd_models::variables;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use crate::objective::Term;
use crate::trace::StepRecord;

/// What happens when a term of the loss or the length of the gradient is not finite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NonFinite {
    /// The run stops, and its last checkpoint is kept. Costs no waiting: steps are looked at in
    /// groups, before each checkpoint at the latest.
    #[default]
    Stop,
    /// The step is left out, which the log says: weights, running statistics and the state of the
    /// optimiser stay as they were. Waits for the device once a step.
    Skip,
}

impl NonFinite {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A number of a step that is not finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    what: String,
    value: f64,
    step: u64,
    rate: f64,
}

impl Broken {
    /// The first number of the step that is not finite.
    pub fn in_step(record: &StepRecord) -> Option<Self> {
        let &StepRecord { step, rate, gradient_norm, .. } = record;
        let term = |(term, mean): (&Term, &f64)| (format!("{} loss", term.name()), *mean);
        let norm = ("gradient's norm".to_owned(), gradient_norm);
        let mut numbers = record.terms.iter().map(term).chain([norm]);
        let (what, value) = numbers.find(|(_, value)| !value.is_finite())?;
        Some(Self { what, value, step, rate })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, value, step, rate } = self;
        write!(f, "the {what} is {value} in step {step}, learning rate {rate:.6}")
    }
}

/// The running statistics as they were, to go back to: a forward pass changes them before its
/// loss is known.
#[derive(Debug)]
pub struct Statistics(Vec<(Tensor, Tensor)>);

impl Statistics {
    /// Those of `vs` now.
    pub fn of(vs: &nn::VarStore) -> Self {
        let running = variables(vs).into_values().filter(|variable| !variable.requires_grad());
        Self(running.map(|now| (now.shallow_clone(), now.copy())).collect())
    }

    /// Writes them back.
    pub fn restore(self) {
        let _no_grad = tch::no_grad_guard();
        for (mut now, then) in self.0 {
            now.copy_(&then);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_that_is_not_finite_is_named() {
        let record = |label: f64, gradient_norm: f64| StepRecord {
            step: 7,
            rate: 0.1,
            terms: [(Term::Label, label), (Term::Hint, 2.0)].into(),
            gradient_norm,
        };
        let said =
            |label, norm| Broken::in_step(&record(label, norm)).map(|broken| broken.to_string());
        assert_eq!(said(1.0, 3.0), None);
        assert_eq!(
            said(f64::NAN, f64::NAN).unwrap(),
            "the label loss is NaN in step 7, learning rate 0.100000"
        );
        assert_eq!(
            said(1.0, f64::INFINITY).unwrap(),
            "the gradient's norm is inf in step 7, learning rate 0.100000"
        );
    }
}
