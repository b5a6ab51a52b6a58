//! Thresholds of early exit by confidence, and what exits carry on, chosen on the validation split.

use anyhow::{Context, Result};
use rayon::prelude::*;
use sd_report::evaluation::Outcome;

use crate::evaluation::early_exit::{ExitMacs, counted};
use crate::evaluation::predictions::Predictions;

/// A threshold for each shallow exit: an image leaves at the first exit whose largest probability is
/// at least its threshold, and never at one without.
pub type Thresholds = Vec<Option<f32>>;

/// How images leave a staged network: without thresholds at the deepest exit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Leaving {
    /// Share of what the exits before have said that stays in an exit's answer.
    pub carry: f32,
    /// Of the probabilities of those predictions.
    pub thresholds: Thresholds,
}

/// Shares that are tried. The first is of exits that answer each by itself.
pub const CARRIES: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Prices that are tried: so many wrong predictions is as bad as the deepest exit's multiply-accumulates
/// of one image.
const PRICES: usize = 200;
/// The least and the highest price, in powers of ten.
const POWERS: (f64, f64) = (-3.0, 4.0);
/// Rounds over the exits at most, for one price; most settle in two or three.
const ROUNDS: usize = 10;

/// What every exit predictions where it carries this share.
#[derive(Debug, Clone, Copy)]
pub struct Carried<'a> {
    carry: f32,
    predictions: &'a Predictions,
}

impl<'a> Carried<'a> {
    /// The predictions of each share.
    pub fn of(carries: &[f32], predictions: &'a [Predictions]) -> Vec<Self> {
        let carried = |(&carry, predictions)| Self { carry, predictions };
        carries.iter().zip(predictions).map(carried).collect()
    }

    /// Ways to leave, and what comes of each.
    fn tried(self, macs: &ExitMacs) -> Vec<(Leaving, Outcome)> {
        let leaving = |thresholds| Leaving { carry: self.carry, thresholds };
        let search = Search::new(self.predictions, macs);
        search.tried().map(|(thresholds, outcome)| (leaving(thresholds), outcome)).collect()
    }
}

/// The way to leave with the fewest multiply-accumulates, of those that cost at most `points` points
/// of the top-1 accuracy that the deepest exit has by itself on these images. The first of `carried`
/// is of exits that answer each by itself.
pub fn within_points(carried: &[Carried], macs: &ExitMacs, points: f64) -> Leaving {
    let Some(alone) = carried.first() else { return Leaving::default() };
    let search = Search::new(alone.predictions, macs);
    let never = search.never();
    let deepest = search.outcome(&never).top1;
    // A rounding error is no lost image.
    let keeps = |outcome: &Outcome| 100.0 * (deepest - outcome.top1) <= points + 1e-9;
    let found = tried(carried, macs).into_iter().filter(|(_, outcome)| keeps(outcome));
    let fewest = found.min_by(|(_, a), (_, b)| a.macs.total_cmp(&b.macs));
    fewest.map_or(Leaving { carry: 0.0, thresholds: never }, |(leaving, _)| leaving)
}

/// The way to leave with the highest top-1 accuracy on these images, of those with which an image takes
/// on average at most `percent` of the deepest exit's multiply-accumulates.
///
/// # Errors
/// If no early exit is as cheap.
pub fn within_budget(carried: &[Carried], macs: &ExitMacs, percent: f64) -> Result<Leaving> {
    let deepest = macs.alone.last().copied().unwrap_or_default() as f64;
    let most = percent / 100.0 * deepest;
    let found = tried(carried, macs).into_iter().filter(|(_, outcome)| outcome.macs <= most);
    // Of equally accurate ones the cheapest.
    let better = |a: &Outcome, b: &Outcome| {
        a.top1.total_cmp(&b.top1).then_with(|| b.macs.total_cmp(&a.macs))
    };
    let best = found.max_by(|(_, a), (_, b)| better(a, b));
    let least = || {
        let first = macs.cascade.first().copied().unwrap_or_default() as f64;
        let least = 100.0 * first / deepest;
        format!(
            "--budget: found {percent}, expected at least {least:.1}, what the first exit takes"
        )
    };
    best.map(|(leaving, _)| leaving).with_context(least)
}

/// Ways to leave with every share, in the order of the shares.
fn tried(carried: &[Carried], macs: &ExitMacs) -> Vec<(Leaving, Outcome)> {
    carried.par_iter().flat_map_iter(|carried| carried.tried(macs)).collect()
}

/// Thresholds at one price after another. At each, wrong predictions and multiply-accumulates are one sum,
/// and exit by exit the threshold that makes it least is found while the others stay. What lies between
/// two neighbouring prices is not seen: with thousands of images, a few of them.
struct Search<'a> {
    predictions: &'a Predictions,
    cascade: &'a [u64],
    /// Of the network without shallow exits.
    deepest_macs: f64,
    /// Of each shallow exit, the images by its confidence, the most confident first.
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

    /// No image leaves early.
    fn never(&self) -> Thresholds {
        vec![None; self.order.len()]
    }

    /// Thresholds of each price, from low to high, and what comes of them. The search begins where no
    /// image leaves early, and where all leave at one exit, of every exit: it ends in different places.
    fn tried(&self) -> impl Iterator<Item = (Thresholds, Outcome)> + '_ {
        let mut starts = vec![self.never(); self.order.len() + 1];
        for (exit, thresholds) in starts.iter_mut().take(self.order.len()).enumerate() {
            thresholds[exit] = Some(0.0);
        }
        (0..PRICES).flat_map(move |step| {
            let (least, most) = POWERS;
            let power = least + (most - least) * step as f64 / (PRICES - 1) as f64;
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

    /// The threshold of this exit that makes the sum least while those of the others stay.
    fn best_threshold(&self, exit: usize, others: &Thresholds, price: f64) -> Option<f32> {
        let sum = |exit: usize, image: usize| {
            let wrong = !self.predictions.is_correct(exit, image);
            f64::from(wrong) + price * self.cascade[exit] as f64 / self.deepest_macs
        };
        let (mut best, mut saved_at_best, mut saved) = (None, 0.0, 0.0);
        let coming = self.order[exit].iter().filter(|&&image| {
            let left = self.leaves_from(0, others, image);
            left >= exit
        });
        let mut coming = coming.peekable();
        while let Some(&image) = coming.next() {
            saved += sum(self.leaves_from(exit + 1, others, image), image) - sum(exit, image);
            let confidence = self.confidence(exit, image);
            // Images that are equally confident leave together.
            let next = coming.peek().map(|&&next| self.confidence(exit, next));
            if saved > saved_at_best && next != Some(confidence) {
                (best, saved_at_best) = (Some(confidence), saved);
            }
        }
        best
    }

    /// Where an image leaves that has not left before the exit `from`.
    fn leaves_from(&self, from: usize, thresholds: &Thresholds, image: usize) -> usize {
        let leaves = |exit: &usize| {
            thresholds[*exit].is_some_and(|least| self.confidence(*exit, image) >= least)
        };
        (from..thresholds.len()).find(leaves).unwrap_or(thresholds.len())
    }

    fn outcome(&self, thresholds: &Thresholds) -> Outcome {
        counted(self.predictions, self.cascade, |image| self.leaves_from(0, thresholds, image))
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

    /// Images of class 0 by exit: how sure it is, and whether it is right. The deepest comes last.
    fn predictions(exits: &[&[(f32, bool)]]) -> Predictions {
        let exit = |&(confidence, right): &(f32, bool)| ExitPrediction {
            prediction: Prediction { class: usize::from(!right), confidence, entropy: 0.0 },
            rank: usize::from(!right),
            loss: 0.0,
        };
        let exits: Vec<Vec<ExitPrediction>> =
            exits.iter().map(|images| images.iter().map(exit).collect()).collect();
        let labels = vec![0; exits[0].len()];
        // What the ensemble says does not count.
        let ensemble = exits[0].clone();
        Predictions { labels, exits: exits.into_iter().chain([ensemble]).collect() }
    }

    /// Exits that answer each by itself.
    fn alone(predictions: &Predictions) -> Vec<Carried<'_>> {
        Carried::of(&[0.0], std::slice::from_ref(predictions))
    }

    /// A shallow exit and the deepest one.
    fn two_exits() -> ExitMacs {
        ExitMacs { alone: vec![20, 100], cascade: vec![20, 110] }
    }

    #[test]
    fn as_many_leave_as_the_lost_images_allow() {
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
    fn equally_confident_images_leave_together_or_not_at_all() {
        let exit = [(0.5, true), (0.5, false)];
        let predictions = predictions(&[&exit, &[(1.0, true); 2]]);
        assert_eq!(within_points(&alone(&predictions), &two_exits(), 0.0).thresholds, [None]);
    }

    #[test]
    fn a_budget_takes_the_most_accurate_thresholds_within_it() {
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
    fn a_later_exit_sees_what_remains() {
        let macs = ExitMacs { alone: vec![20, 60, 100], cascade: vec![20, 65, 110] };
        let first = [(0.9, true), (0.2, false), (0.1, false)];
        let second = [(0.95, false), (0.6, true), (0.3, false)];
        // The first image is gone before the second exit could lose it.
        let predictions = predictions(&[&first, &second, &[(1.0, true); 3]]);
        let chosen = within_points(&alone(&predictions), &macs, 0.0);
        assert_eq!(chosen.thresholds, [Some(0.9), Some(0.6)]);
    }

    #[test]
    fn an_exit_that_is_sure_and_wrong_has_none_while_a_later_one_has_its_own() {
        let macs = ExitMacs { alone: vec![40, 60, 100], cascade: vec![40, 65, 110] };
        let first = [(0.9, false), (0.8, false), (0.7, true), (0.6, false)];
        let second = [(0.5, true), (0.4, true), (0.3, true), (0.2, false)];
        let predictions = predictions(&[&first, &second, &[(1.0, true); 4]]);
        // One threshold for both would lose images at the first, whatever it is.
        let chosen = within_budget(&alone(&predictions), &macs, 80.0).unwrap();
        assert_eq!(chosen.thresholds, [None, Some(0.3)]);
    }

    #[test]
    fn what_exits_carry_on_is_chosen_with_the_thresholds_and_held_to_the_deepest_exit_by_itself() {
        let right = |rights: [bool; 4]| rights.map(|right| (0.5, right));
        let by_itself = predictions(&[&right([true, false, false, false]), &right([true; 4])]);
        let carried = predictions(&[&right([true, true, true, false]), &right([true; 4])]);
        let both = [by_itself, carried];
        let both = Carried::of(&[0.0, 0.5], &both);
        let all_leave = Leaving { carry: 0.5, thresholds: vec![Some(0.5)] };
        assert_eq!(within_budget(&both, &two_exits(), 50.0).unwrap(), all_leave);
        assert_eq!(within_points(&both, &two_exits(), 25.0), all_leave);
        // A memory that misleads the deepest exit does not lower what it is held to.
        let misled = predictions(&[&right([false; 4]), &right([false; 4])]);
        let both = [both[0].predictions.clone(), misled];
        let both = Carried::of(&[0.0, 0.5], &both);
        assert_eq!(within_points(&both, &two_exits(), 0.0).carry, 0.0);
    }
}
