//! Early-exit thresholds and the share of carried logits, chosen on the validation split.

use anyhow::{Context, Result};
use rayon::prelude::*;
use sd_report::evaluation::{ExitPolicy, Outcome};

use super::Logits;
use super::early_exit::{ExitMacs, counted};
use super::predictions::Predictions;

/// A threshold for each shallow exit. An image stops at the first exit whose confidence is at least
/// its threshold; an exit without a threshold never stops.
pub type Thresholds = Vec<Option<f32>>;

/// Points of validation accuracy that early exit may cost by default.
pub const TOLERANCE: f64 = 0.5;

/// Shares of carried logits ([`LogitCarry`](sd_infer::LogitCarry)) to try. The first carries nothing.
pub const CARRIES: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Number of prices to try. The price, a Lagrange multiplier, is the cost of the deepest exit's
/// multiply-accumulates, in misclassified images.
const PRICE_COUNT: usize = 200;
/// Exponents of the lowest and the highest price, to base ten.
const PRICE_EXPONENTS: (f64, f64) = (-3.0, 4.0);
/// Maximum rounds of coordinate descent per price; most converge in two or three.
const ROUNDS: usize = 10;

/// Predictions with a share of carried logits.
#[derive(Debug, Clone)]
pub struct CarriedPredictions {
    carry: f32,
    /// Of each exit, the deepest last.
    temperatures: Vec<f32>,
    /// At these temperatures.
    pub predictions: Predictions,
}

impl CarriedPredictions {
    /// Predictions of `logits` with each share of [`CARRIES`], at the temperatures that fit the same
    /// images.
    pub fn all(logits: &Logits) -> Vec<Self> {
        let with = |&carry: &f32| {
            let carried = logits.carried(carry);
            let mut temperatures = carried.temperatures();
            let predictions = carried.predictions(&temperatures);
            temperatures.truncate(predictions.without_ensemble().len());
            Self { carry, temperatures, predictions }
        };
        CARRIES.iter().map(with).collect()
    }

    fn policy(&self, thresholds: Thresholds) -> ExitPolicy {
        ExitPolicy { carry: self.carry, thresholds, temperatures: self.temperatures.clone() }
    }

    /// Candidate policies and their outcomes.
    fn candidates(&self, macs: &ExitMacs) -> Vec<(ExitPolicy, Outcome)> {
        let policy = |thresholds| self.policy(thresholds);
        let search = Search::new(&self.predictions, macs);
        search.candidates().map(|(thresholds, outcome)| (policy(thresholds), outcome)).collect()
    }
}

/// Returns the policy with the fewest multiply-accumulates whose accuracy is at most `points` points
/// below that of the deepest exit without carrying. The first of `carried` must carry nothing.
pub fn within_points(carried: &[CarriedPredictions], macs: &ExitMacs, points: f64) -> ExitPolicy {
    let Some(alone) = carried.first() else { return ExitPolicy::default() };
    let search = Search::new(&alone.predictions, macs);
    let never = search.never();
    let deepest = search.outcome(&never).top1;
    // Tolerates rounding errors.
    let keeps = |outcome: &Outcome| 100.0 * (deepest - outcome.top1) <= points + 1e-9;
    let found = candidates(carried, macs).into_iter().filter(|(_, outcome)| keeps(outcome));
    let fewest = found.min_by(|(_, a), (_, b)| a.macs.total_cmp(&b.macs));
    fewest.map_or_else(|| alone.policy(never), |(policy, _)| policy)
}

/// Returns the most accurate policy whose mean cost per image is at most `percent` of the deepest
/// exit's multiply-accumulates.
///
/// # Errors
/// If no policy is that cheap.
pub fn within_budget(
    carried: &[CarriedPredictions],
    macs: &ExitMacs,
    percent: f64,
) -> Result<ExitPolicy> {
    let deepest = macs.alone.last().copied().unwrap_or_default() as f64;
    let most = percent / 100.0 * deepest;
    let found = candidates(carried, macs).into_iter().filter(|(_, outcome)| outcome.macs <= most);
    // Of equally accurate policies the cheapest.
    let better = |a: &Outcome, b: &Outcome| {
        a.top1.total_cmp(&b.top1).then_with(|| b.macs.total_cmp(&a.macs))
    };
    let best = found.max_by(|(_, a), (_, b)| better(a, b));
    let least = || {
        let first = macs.cascade.first().copied().unwrap_or_default() as f64;
        // Rounded up, so that the number in the message is accepted.
        let least = (1000.0 * first / deepest).ceil() / 10.0;
        format!(
            "--budget: found {percent}, expected at least {least:.1}, the cost of the first exit"
        )
    };
    best.map(|(policy, _)| policy).with_context(least)
}

/// Candidate policies for every share, in the order of the shares.
fn candidates(carried: &[CarriedPredictions], macs: &ExitMacs) -> Vec<(ExitPolicy, Outcome)> {
    carried.par_iter().flat_map_iter(|carried| carried.candidates(macs)).collect()
}

/// Search for thresholds by coordinate descent, at one price after another. At each price,
/// misclassified images and multiply-accumulates form one sum; exit by exit, the threshold that
/// minimises it is found while the others stay.
struct Search<'a> {
    predictions: &'a Predictions,
    cascade: &'a [u64],
    /// Cost of the network without shallow exits.
    deepest_macs: f64,
    /// For each shallow exit, the images in order of decreasing confidence.
    order: Vec<Vec<usize>>,
}

impl<'a> Search<'a> {
    fn new(predictions: &'a Predictions, macs: &'a ExitMacs) -> Self {
        let deepest_macs = macs.alone.last().copied().unwrap_or_default() as f64;
        let mut search = Self { predictions, cascade: &macs.cascade, deepest_macs, order: vec![] };
        let by_confidence = |exit: usize| {
            let mut images: Vec<usize> = (0..predictions.images()).collect();
            let confidence = |image: usize| search.confidence(exit, image);
            images.sort_by(|&a, &b| confidence(b).total_cmp(&confidence(a)));
            images
        };
        search.order = (0..macs.cascade.len().saturating_sub(1)).map(by_confidence).collect();
        search
    }

    /// Thresholds at which no image stops early.
    fn never(&self) -> Thresholds {
        vec![None; self.order.len()]
    }

    /// Thresholds for each price and their outcomes. The descent starts once from no early exit and
    /// once from each exit stopping all images, since it finds local minima.
    fn candidates(&self) -> impl Iterator<Item = (Thresholds, Outcome)> + '_ {
        let mut starts = vec![self.never(); self.order.len() + 1];
        for (exit, thresholds) in starts.iter_mut().take(self.order.len()).enumerate() {
            thresholds[exit] = Some(0.0);
        }
        (0..PRICE_COUNT).flat_map(move |step| {
            let (least, most) = PRICE_EXPONENTS;
            let power = least + (most - least) * step as f64 / (PRICE_COUNT - 1) as f64;
            let tried = |start: &Thresholds| {
                let thresholds = self.at_price(10_f64.powf(power), start.clone());
                let outcome = self.outcome(&thresholds);
                (thresholds, outcome)
            };
            starts.iter().map(tried).collect::<Vec<_>>()
        })
    }

    fn at_price(&self, price: f64, mut thresholds: Thresholds) -> Thresholds {
        for _ in 0..ROUNDS {
            let before = thresholds.clone();
            for exit in (0..thresholds.len()).rev() {
                thresholds[exit] = self.best_threshold(exit, &thresholds, price);
            }
            if thresholds == before {
                break;
            }
        }
        thresholds
    }

    /// The threshold of this exit that minimises the sum while the others stay.
    fn best_threshold(&self, exit: usize, others: &Thresholds, price: f64) -> Option<f32> {
        let sum = |exit: usize, image: usize| {
            let wrong = !self.predictions.is_correct(exit, image);
            f64::from(wrong) + price * self.cascade[exit] as f64 / self.deepest_macs
        };
        let (mut best, mut saved_at_best, mut saved) = (None, 0.0, 0.0);
        let coming = self.order[exit].iter().filter(|&&image| {
            let left = self.exit_from(0, others, image);
            left >= exit
        });
        let mut coming = coming.peekable();
        while let Some(&image) = coming.next() {
            saved += sum(self.exit_from(exit + 1, others, image), image) - sum(exit, image);
            let confidence = self.confidence(exit, image);
            // Images with equal confidence stop together.
            let next = coming.peek().map(|&&next| self.confidence(exit, next));
            if saved > saved_at_best && next != Some(confidence) {
                (best, saved_at_best) = (Some(confidence), saved);
            }
        }
        best
    }

    /// The exit at which an image stops that has not stopped before the exit `from`.
    fn exit_from(&self, from: usize, thresholds: &Thresholds, image: usize) -> usize {
        let stops = |exit: &usize| {
            thresholds[*exit].is_some_and(|least| self.confidence(*exit, image) >= least)
        };
        (from..thresholds.len()).find(stops).unwrap_or(thresholds.len())
    }

    fn outcome(&self, thresholds: &Thresholds) -> Outcome {
        counted(self.predictions, self.cascade, |image| self.exit_from(0, thresholds, image))
    }

    fn confidence(&self, exit: usize, image: usize) -> f32 {
        self.predictions.exits[exit][image].prediction.confidence
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::predictions::ExitPrediction;
    use sd_infer::Prediction;

    /// Predictions for images of class 0 by exit: confidence, and whether it is correct; the deepest last.
    fn predictions(exits: &[&[(f32, bool)]]) -> Predictions {
        let exit = |&(confidence, right): &(f32, bool)| ExitPrediction {
            prediction: Prediction { class: usize::from(!right), confidence, entropy: 0.0 },
            rank: usize::from(!right),
            loss: 0.0,
        };
        let exits: Vec<Vec<ExitPrediction>> =
            exits.iter().map(|images| images.iter().map(exit).collect()).collect();
        let labels = vec![0; exits[0].len()];
        // The ensemble does not count.
        let ensemble = exits[0].clone();
        Predictions { labels, exits: exits.into_iter().chain([ensemble]).collect() }
    }

    /// Predictions without carrying.
    fn alone(predictions: &Predictions) -> Vec<CarriedPredictions> {
        vec![carried(0.0, predictions)]
    }

    fn carried(carry: f32, predictions: &Predictions) -> CarriedPredictions {
        let predictions = predictions.clone();
        CarriedPredictions { carry, temperatures: vec![1.5, 2.0], predictions }
    }

    /// A shallow exit and the deepest one.
    fn two_exits() -> ExitMacs {
        ExitMacs { alone: vec![20, 100], cascade: vec![20, 110] }
    }

    #[test]
    fn the_tolerance_limits_how_many_images_stop() {
        let exit = [(0.9, true), (0.8, false), (0.7, true), (0.6, false), (0.5, false)];
        let deepest = [true, true, false, true, true].map(|right| (1.0, right));
        // Losses add up to 0, 1, 0, 1, 2 images in the order of confidence.
        for (points, expected) in [(0.0, 0.7), (40.0, 0.5)] {
            let predictions = predictions(&[&exit, &deepest]);
            let chosen = within_points(&alone(&predictions), &two_exits(), points);
            assert_eq!(chosen.thresholds, [Some(expected)], "{points}");
        }
    }

    #[test]
    fn images_with_equal_confidence_stop_together() {
        let exit = [(0.5, true), (0.5, false)];
        let predictions = predictions(&[&exit, &[(1.0, true); 2]]);
        assert_eq!(within_points(&alone(&predictions), &two_exits(), 0.0).thresholds, [None]);
    }

    #[test]
    fn a_budget_gives_the_most_accurate_thresholds_within_it() {
        let exit = [(0.9, true), (0.8, false), (0.4, false)];
        let predictions = predictions(&[&exit, &[(1.0, true); 3]]);
        let chosen = |percent| within_budget(&alone(&predictions), &two_exits(), percent);
        let thresholds = |percent| chosen(percent).unwrap().thresholds;
        assert_eq!(thresholds(80.0), [Some(0.9)], "two thirds of the images go on: 80");
        assert_eq!(thresholds(20.0), [Some(0.4)]);
        let message = chosen(10.0).unwrap_err().to_string();
        assert!(message.contains("found 10, expected at least 20.0"), "{message}");
    }

    #[test]
    fn a_later_exit_gets_the_remaining_images() {
        let macs = ExitMacs { alone: vec![20, 60, 100], cascade: vec![20, 65, 110] };
        let first = [(0.9, true), (0.2, false), (0.1, false)];
        let second = [(0.95, false), (0.6, true), (0.3, false)];
        // The first image is gone before the second exit could lose it.
        let predictions = predictions(&[&first, &second, &[(1.0, true); 3]]);
        let chosen = within_points(&alone(&predictions), &macs, 0.0);
        assert_eq!(chosen.thresholds, [Some(0.9), Some(0.6)]);
    }

    #[test]
    fn a_confident_but_wrong_exit_gets_no_threshold() {
        let macs = ExitMacs { alone: vec![40, 60, 100], cascade: vec![40, 65, 110] };
        let first = [(0.9, false), (0.8, false), (0.7, true), (0.6, false)];
        let second = [(0.5, true), (0.4, true), (0.3, true), (0.2, false)];
        let predictions = predictions(&[&first, &second, &[(1.0, true); 4]]);
        // One threshold for both would lose images at the first, whatever it is.
        let chosen = within_budget(&alone(&predictions), &macs, 80.0).unwrap();
        assert_eq!(chosen.thresholds, [None, Some(0.3)]);
    }

    #[test]
    fn the_carried_share_is_chosen_with_the_thresholds() {
        let right = |rights: [bool; 4]| rights.map(|right| (0.5, right));
        let by_itself = predictions(&[&right([true, false, false, false]), &right([true; 4])]);
        let helped = predictions(&[&right([true, true, true, false]), &right([true; 4])]);
        let both = [carried(0.0, &by_itself), carried(0.5, &helped)];
        let temperatures = vec![1.5, 2.0];
        let all_leave = ExitPolicy { carry: 0.5, thresholds: vec![Some(0.5)], temperatures };
        assert_eq!(within_budget(&both, &two_exits(), 50.0).unwrap(), all_leave);
        assert_eq!(within_points(&both, &two_exits(), 25.0), all_leave);
        // A memory that misleads the deepest exit does not lower what it is held to.
        let misled = predictions(&[&right([false; 4]), &right([false; 4])]);
        let both = [carried(0.0, &by_itself), carried(0.5, &misled)];
        assert_eq!(within_points(&both, &two_exits(), 0.0).carry, 0.0);
    }
}
