//! How long something takes, and how much memory it took.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::stats;

/// Seconds of each repetition, in the order they were taken, warm-up left out.
///
/// ```
/// use sd_bench::Timing;
///
/// let timing = Timing::measure(2, 5, || (0..1000_u64).sum::<u64>());
/// assert_eq!(timing.raw_seconds.len(), 5);
/// assert!(timing.median().unwrap() >= 0.0);
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// One value a repetition.
    pub raw_seconds: Vec<f64>,
}

impl Timing {
    /// Runs `work` `warmup` times unmeasured, then `runs` times against the clock. What it
    /// returns is kept from the optimiser; work on a device has to be waited for inside `work`.
    pub fn measure<T>(warmup: usize, runs: usize, mut work: impl FnMut() -> T) -> Self {
        for _ in 0..warmup {
            black_box(work());
        }
        Self { raw_seconds: (0..runs).map(|_| seconds(&mut work)).collect() }
    }

    /// Runs `work` `warmup` times unmeasured, then against the clock until that took `budget` or
    /// `most` repetitions, but at least `least` times.
    pub fn measure_for<T>(
        warmup: usize,
        budget: Duration,
        (least, most): (usize, usize),
        mut work: impl FnMut() -> T,
    ) -> Self {
        for _ in 0..warmup {
            black_box(work());
        }
        let start = Instant::now();
        let mut raw_seconds = Vec::new();
        while raw_seconds.len() < least || (raw_seconds.len() < most && start.elapsed() < budget) {
            raw_seconds.push(seconds(&mut work));
        }
        Self { raw_seconds }
    }

    /// The median, in seconds; `None` of no repetition.
    pub fn median(&self) -> Option<f64> {
        stats::median(&self.raw_seconds)
    }

    /// The mean, in seconds; `None` of no repetition.
    pub fn mean(&self) -> Option<f64> {
        stats::mean(&self.raw_seconds)
    }

    /// The sample standard deviation, in seconds; `None` of fewer than two repetitions.
    pub fn deviation(&self) -> Option<f64> {
        stats::deviation(&self.raw_seconds)
    }

    /// A quantile, in seconds; see [`stats::quantile`].
    pub fn quantile(&self, p: f64) -> Option<f64> {
        stats::quantile(&self.raw_seconds, p)
    }
}

/// Two things timed side by side.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Comparison {
    /// The first thing.
    pub a: Timing,
    /// The second thing.
    pub b: Timing,
    /// Seconds of `a` over seconds of `b`, pair by pair: above 1, `b` is the faster.
    pub ratios: Vec<f64>,
}

impl Comparison {
    /// The median of the pairs' ratios; `None` of no pair.
    pub fn median_ratio(&self) -> Option<f64> {
        stats::median(&self.ratios)
    }
}

/// Times `a` and `b` in `runs` pairs, after one unmeasured pair. The two of a pair run one
/// right after the other, and the order changes from pair to pair, so that a machine that
/// drifts or slows down does so for both.
pub fn compare<A, B>(
    mut a: impl FnMut() -> A,
    mut b: impl FnMut() -> B,
    runs: usize,
) -> Comparison {
    black_box(a());
    black_box(b());
    let mut result = Comparison::default();
    for pair in 0..runs {
        let (a, b) = if pair % 2 == 0 {
            let first = seconds(&mut a);
            (first, seconds(&mut b))
        } else {
            let first = seconds(&mut b);
            (seconds(&mut a), first)
        };
        result.a.raw_seconds.push(a);
        result.b.raw_seconds.push(b);
        result.ratios.push(a / b);
    }
    result
}

/// The most memory that this process has held at once, in bytes. Linux alone says.
pub fn peak_memory_bytes() -> Option<u64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Forgets [`peak_memory_bytes`] up to now: what the process holds at this moment is the new peak.
/// False where the system does not offer it; the peak is then the one since the process's start.
pub fn reset_peak_memory() -> bool {
    // Linux: `man 5 proc_pid_clear_refs`; 5 resets the high-water mark.
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn seconds<T>(work: &mut impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn warm_up_runs_and_is_not_counted() {
        let mut calls = 0;
        let timing = Timing::measure(3, 4, || calls += 1);
        assert_eq!((calls, timing.raw_seconds.len()), (7, 4));
    }

    #[test]
    fn a_budget_ends_the_repetitions_between_least_and_most() {
        let runs = |budget, bounds| Timing::measure_for(0, budget, bounds, || ()).raw_seconds.len();
        assert_eq!(runs(Duration::ZERO, (3, 9)), 3);
        assert_eq!(runs(Duration::from_secs(3600), (3, 9)), 9);
    }

    #[test]
    fn a_comparison_alternates_which_goes_first() {
        let order = RefCell::new(String::new());
        let result = compare(|| order.borrow_mut().push('a'), || order.borrow_mut().push('b'), 3);
        assert_eq!(*order.borrow(), "ababbaab");
        assert_eq!((result.a.raw_seconds.len(), result.ratios.len()), (3, 3));
    }

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(peak_of("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(peak_of("VmPeak:\t 9 kB\n"), None);
    }
}
