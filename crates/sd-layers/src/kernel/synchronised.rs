//! Batch norm over the batches of several processes: statistics and the sums of the backward pass are
//! those of all positions, as in PyTorch's `SyncBatchNorm`.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use tch::{Kind, Tensor};

use super::affine::Norm;
use super::bridge::record;

thread_local! {
    static CURRENT: RefCell<Option<Synchronisation>> = const { RefCell::new(None) };
}

/// Replaces a tensor by its sum over the processes.
type Sum = Arc<dyn Fn(&Tensor) + Send + Sync>;

/// How batch norm counts the positions of other processes.
#[derive(Clone)]
pub struct Synchronisation {
    /// Number of processes, whose batches have the same size.
    pub processes: usize,
    sum: Sum,
}

/// Synchronises batch norm in training forward passes of this thread until it is dropped.
#[must_use]
#[derive(Debug)]
pub struct SynchronisedBatchNorm {
    before: Option<Synchronisation>,
}

/// Synchronises the batch norm of this thread's training forward passes over `processes`, whose batches
/// have the same size; their backward passes are synchronised too. `sum` replaces a tensor by its sum
/// over the processes.
pub fn synchronise_batch_norm(
    processes: usize,
    sum: impl Fn(&Tensor) + Send + Sync + 'static,
) -> SynchronisedBatchNorm {
    let now = Synchronisation { processes, sum: Arc::new(sum) };
    SynchronisedBatchNorm { before: CURRENT.replace(Some(now)) }
}

impl Drop for SynchronisedBatchNorm {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

/// The synchronisation of this thread's forward passes.
pub fn current() -> Option<Synchronisation> {
    CURRENT.with_borrow(Clone::clone)
}

impl Synchronisation {
    /// Replaces numbers by their sums over the processes, in one call.
    pub fn sum(&self, numbers: &mut [&mut Vec<f64>]) {
        let all: Vec<f64> = numbers.iter().flat_map(|numbers| numbers.iter().copied()).collect();
        let all = Tensor::from_slice(&all);
        (self.sum)(&all);
        let mut all = Vec::<f64>::try_from(all).expect("a row of doubles").into_iter();
        numbers.iter_mut().flat_map(|numbers| numbers.iter_mut()).for_each(|number| {
            *number = all.next().expect("as many as were summed");
        });
    }

    /// Replaces mean and biased variance of each channel by those over the processes.
    pub fn combine(&self, mean: &mut Vec<f64>, variance: &mut Vec<f64>) {
        let processes = self.processes as f64;
        for (mean, variance) in mean.iter().zip(variance.iter_mut()) {
            *variance += mean * mean;
        }
        self.sum(&mut [mean, variance]);
        for (mean, variance) in mean.iter_mut().zip(variance) {
            *mean /= processes;
            *variance = (*variance / processes - *mean * *mean).max(0.0);
        }
    }
}

impl fmt::Debug for Synchronisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Synchronisation")
            .field("processes", &self.processes)
            .finish_non_exhaustive()
    }
}

/// Batch norm of `[N, C, H, W]` by libtorch's operations, in double precision; updates the running
/// statistics. For maps that the kernels do not support: on CUDA, in another layout or type.
pub fn forward(norm: &Norm, map: &Tensor, synchronisation: Synchronisation) -> Tensor {
    let per_channel = |row: &Tensor| row.view([1, -1, 1, 1]);
    let sum = |map: &Tensor| map.sum_dim_intlist([0i64, 2, 3].as_slice(), false, Kind::Double);
    let no_grad = tch::no_grad_guard();
    let channels = map.size()[1];
    let positions = map.numel() as f64 / channels as f64 * synchronisation.processes as f64;
    let x = map.detach().to_kind(Kind::Double);
    let sums = Tensor::stack(&[sum(&x), sum(&x.square())], 0);
    (synchronisation.sum)(&sums);
    let [mean, square] = [0, 1].map(|row| sums.get(row) / positions);
    let variance = (square - mean.square()).clamp_min(0.0);
    let momentum = norm.momentum;
    let unbiased = &variance * (positions / (positions - 1.0).max(1.0));
    for (running, now) in [(&norm.running_mean, &mean), (&norm.running_var, &unbiased)] {
        let _ = running.shallow_clone().lerp_(&now.to_kind(running.kind()), momentum);
    }
    let inverse = (variance + norm.epsilon).rsqrt();
    let scale = norm.weight.detach().to_kind(Kind::Double) * &inverse;
    let normed = (x - per_channel(&mean)) * per_channel(&scale);
    let shifted = normed + per_channel(&norm.bias.detach().to_kind(Kind::Double));
    let mut output = shifted.to_kind(map.kind());
    drop(no_grad);

    let (saved, kind) = (map.detach(), norm.weight.kind());
    let backward = move |gradient: &Tensor| {
        let _no_grad = tch::no_grad_guard();
        let gradient = gradient.to_kind(Kind::Double);
        let distance = saved.to_kind(Kind::Double) - per_channel(&mean);
        let own = Tensor::stack(&[sum(&gradient), sum(&(&gradient * &distance))], 0);
        let all = own.copy();
        (synchronisation.sum)(&all);
        let slope = all.get(1) / positions * inverse.square();
        let inner =
            gradient - per_channel(&(all.get(0) / positions)) - distance * per_channel(&slope);
        let input = (inner * per_channel(&scale)).to_kind(saved.kind());
        vec![input, (own.get(1) * &inverse).to_kind(kind), own.get(0).to_kind(kind)]
    };
    record(&mut output, &[map, &norm.weight, &norm.bias], backward);
    output
}

#[cfg(test)]
mod tests;
