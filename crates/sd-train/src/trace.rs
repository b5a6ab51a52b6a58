//! What a step leaves behind to be looked at: its losses and the length of its gradient.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::meter::Meter;
use crate::objective::Term;

/// Loss and gradient of a step. The numbers stay on the device until they are read.
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
    /// Of a step that was learnt from what `seen` counted.
    pub fn new(step: u64, rate: f64, seen: &Meter, gradient_norm: Tensor) -> Self {
        Self { step, rate, terms: seen.terms(), images: seen.images(), gradient_norm }
    }

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

impl StepRecord {
    /// The mean loss.
    pub fn loss(&self) -> f64 {
        self.terms.values().sum()
    }
}
