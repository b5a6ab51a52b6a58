//! Losses and gradients that are not finite, and what is done then.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use sd_models::variables;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn};

use crate::objective::Term;

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

/// What has to be finite in a step. The numbers stay on the device until they are read.
#[derive(Debug)]
pub struct Trace {
    /// The step, from 1.
    pub step: u64,
    /// Its learning rate.
    pub rate: f64,
    /// Sums over the images of the step.
    pub terms: BTreeMap<Term, Tensor>,
    /// Images of the step.
    pub images: u64,
    /// The length of all gradients as one vector, before they are clipped.
    pub gradient_norm: Tensor,
}

/// A step's numbers, read.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// The step, from 1.
    pub step: u64,
    /// Its learning rate.
    pub rate: f64,
    /// Mean loss of an image by term.
    pub terms: BTreeMap<Term, f64>,
    /// The length of all gradients as one vector, before they are clipped.
    pub gradient_norm: f64,
}

impl Trace {
    /// The numbers of this step alone; waits for the device.
    pub fn look(&self) -> StepRecord {
        Self::read(std::slice::from_ref(self)).remove(0)
    }

    /// The numbers; waits for the device once, however many steps there are.
    pub fn read(traces: &[Self]) -> Vec<StepRecord> {
        let _no_grad = tch::no_grad_guard();
        let of_step = |trace: &Self| {
            let norm = trace.gradient_norm.to_kind(Kind::Double);
            trace.terms.values().map(Tensor::shallow_clone).chain([norm]).collect::<Vec<_>>()
        };
        let all: Vec<Tensor> = traces.iter().flat_map(of_step).collect();
        if all.is_empty() {
            return Vec::new();
        }
        let read = Vec::<f64>::try_from(Tensor::stack(&all, 0)).expect("a row of doubles");
        let mut numbers = read.into_iter();
        let mut next = || numbers.next().unwrap_or(f64::NAN);
        let mut record = |trace: &Self| StepRecord {
            step: trace.step,
            rate: trace.rate,
            terms: trace.terms.keys().map(|&term| (term, next() / trace.images as f64)).collect(),
            gradient_norm: next(),
        };
        traces.iter().map(&mut record).collect()
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

impl StepRecord {
    /// The mean loss.
    pub fn loss(&self) -> f64 {
        self.terms.values().sum()
    }

    /// The first number that is not finite.
    pub fn broken(&self) -> Option<Broken> {
        let terms = self.terms.iter().map(|(term, mean)| (format!("{} loss", term.name()), *mean));
        let norm = ("gradient's norm".to_owned(), self.gradient_norm);
        let (what, value) = terms.chain([norm]).find(|(_, value)| !value.is_finite())?;
        Some(Broken { what, value, step: self.step, rate: self.rate })
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
