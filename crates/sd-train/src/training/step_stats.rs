//! Loss and gradient norm of single steps.

use std::collections::BTreeMap;

use anyhow::Result;
use sd_distributed::Processes;
use tch::{Kind, Tensor};

use crate::evaluation::meter::LossSums;
use crate::objective::Term;

/// Loss and gradient of a step. The numbers stay on the device until they are read.
#[derive(Debug)]
pub struct StepStats {
    /// The step, from 1.
    pub step: u64,
    /// Its learning rate.
    pub rate: f64,
    /// Loss terms, summed over its images.
    pub losses: LossSums,
    /// Global gradient norm before clipping, `[]`.
    pub gradient_norm: Tensor,
    /// Whether the update was skipped because a number was not finite.
    pub skipped: bool,
}

/// A step's numbers, read from the device.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// The step, from 1.
    pub step: u64,
    /// Its learning rate.
    pub rate: f64,
    /// Mean loss per image, by term.
    pub terms: BTreeMap<Term, f64>,
    /// Global gradient norm before clipping.
    pub gradient_norm: f64,
}

impl StepStats {
    /// Reads the numbers of this step over all processes; waits for the device.
    ///
    /// # Errors
    /// If another process is gone.
    pub fn read(&self, processes: &Processes) -> Result<StepRecord> {
        Ok(Self::read_all(std::slice::from_ref(self), processes)?.remove(0))
    }

    /// Reads the numbers of several steps over all processes; waits for the device once.
    ///
    /// # Errors
    /// If another process is gone.
    pub fn read_all(steps: &[Self], processes: &Processes) -> Result<Vec<StepRecord>> {
        let _no_grad = tch::no_grad_guard();
        let of_step = |stats: &Self| {
            let norm = stats.gradient_norm.to_kind(Kind::Double);
            stats.losses.terms.values().map(Tensor::shallow_clone).chain([norm]).collect::<Vec<_>>()
        };
        let all: Vec<Tensor> = steps.iter().flat_map(of_step).collect();
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let all = Tensor::stack(&all, 0);
        // Shares of a batch are equal: the mean over processes is that over their images.
        processes.average(std::iter::once(all.shallow_clone()))?;
        let read = Vec::<f64>::try_from(all).expect("a row of doubles");
        let mut numbers = read.into_iter();
        let mut next = || numbers.next().unwrap_or(f64::NAN);
        let mut record = |stats: &Self| {
            let images = stats.losses.images as f64;
            StepRecord {
                step: stats.step,
                rate: stats.rate,
                terms: stats.losses.terms.keys().map(|&term| (term, next() / images)).collect(),
                gradient_norm: next(),
            }
        };
        Ok(steps.iter().map(&mut record).collect())
    }
}

impl StepRecord {
    /// Mean loss per image.
    pub fn loss(&self) -> f64 {
        self.terms.values().sum()
    }
}
