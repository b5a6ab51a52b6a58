//! Repeated measurements of closures.

use std::hint::black_box;
use std::time::{Duration, Instant};

use sd_report::Timing;

/// Runs `work` `warmup` times unmeasured, then measures it until that took `budget` or the maximum
/// number of repetitions, but at least the minimum number.
///
/// The result of `work` is kept from the optimiser. Work on a device has to be waited for inside
/// `work`.
pub fn measure_for<T>(
    warmup: usize,
    budget: Duration,
    (min, max): (usize, usize),
    mut work: impl FnMut() -> T,
) -> Timing {
    for _ in 0..warmup {
        black_box(work());
    }
    let start = Instant::now();
    let mut raw_seconds = Vec::new();
    while raw_seconds.len() < min || (raw_seconds.len() < max && start.elapsed() < budget) {
        raw_seconds.push(seconds(&mut work));
    }
    Timing { raw_seconds }
}

/// Times `a` and `b` in `runs` pairs, after one unmeasured pair. The two of a pair run one after
/// the other, in alternating order, so that a machine that slows down affects both.
pub fn compare<A, B>(
    mut a: impl FnMut() -> A,
    mut b: impl FnMut() -> B,
    runs: usize,
) -> [Timing; 2] {
    black_box(a());
    black_box(b());
    let mut result = [Timing::default(), Timing::default()];
    for pair in 0..runs {
        let (a, b) = if pair % 2 == 0 {
            let first = seconds(&mut a);
            (first, seconds(&mut b))
        } else {
            let first = seconds(&mut b);
            (seconds(&mut a), first)
        };
        result[0].raw_seconds.push(a);
        result[1].raw_seconds.push(b);
    }
    result
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
    fn warm_up_is_not_counted() {
        let mut calls = 0;
        let timing = measure_for(3, Duration::ZERO, (4, 9), || calls += 1);
        assert_eq!((calls, timing.raw_seconds.len()), (7, 4));
    }

    #[test]
    fn the_budget_ends_the_repetitions_between_minimum_and_maximum() {
        let runs = |budget, bounds| measure_for(0, budget, bounds, || ()).raw_seconds.len();
        assert_eq!(runs(Duration::ZERO, (3, 9)), 3);
        assert_eq!(runs(Duration::from_secs(3600), (3, 9)), 9);
    }

    #[test]
    fn a_comparison_alternates_the_order() {
        let order = RefCell::new(String::new());
        let [a, b] = compare(|| order.borrow_mut().push('a'), || order.borrow_mut().push('b'), 3);
        assert_eq!(*order.borrow(), "ababbaab");
        assert_eq!((a.raw_seconds.len(), b.raw_seconds.len()), (3, 3));
    }
}
