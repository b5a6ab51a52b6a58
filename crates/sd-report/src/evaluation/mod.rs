//! What a run's saved weights say of a split, in full: the contents of `evaluation.json`.
//!
//! Of every exit and of the ensemble: accuracy, the negative log-likelihood of the labels, how far
//! its confidence can be trusted, and which classes it takes for which. Of the network with several
//! exits: what early exit costs and scores, with thresholds that the validation split chose.

mod calibration;
mod check;
mod early_exit;

pub use calibration::{BINS, Bin};
pub use early_exit::{BUDGETS, Budget, Choice, EarlyExit, ExitRule, Outcome, RuleCurve, Setting};

use serde::{Deserialize, Serialize};

use crate::record::{ExitAccuracy, SplitScore, null_is_nan};

/// Version of the records in this module; `evaluation.json` carries it as `schema_version`.
pub const EVALUATION_VERSION: u32 = 1;

/// Every exit and the ensemble on all images of a split: `evaluation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// [`EVALUATION_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// The split that was evaluated on: `test` or `valid`.
    pub split: String,
    /// File of the weights, in the run's folder.
    pub weights: String,
    /// Images seen: all of the split.
    pub images: u64,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// What was taken from each channel's values, which are between 0 and 1.
    pub mean: Vec<f32>,
    /// What they were then divided by.
    pub deviation: Vec<f32>,
    /// Shallow first, the deepest last.
    pub exits: Vec<ExitEvaluation>,
    /// The mean of all exits' logits.
    pub ensemble: ExitEvaluation,
    /// Early exit on the test set; `None` of a network with a single exit, without a validation
    /// split to choose thresholds on, and of other splits.
    pub early_exit: Option<EarlyExit>,
}

/// One exit on one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitEvaluation {
    /// Name of the exit, or `ensemble`.
    pub name: String,
    /// Fraction whose label is the first guess.
    pub top1: f64,
    /// Fraction whose label is among the first five guesses.
    pub top5: f64,
    /// Mean negative log-likelihood of the labels in nats, which is the mean cross-entropy.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Expected calibration error, 0 to 1: the mean over the images of the distance between their
    /// bin's accuracy and its confidence (Guo et al. 2017, equation 3).
    pub calibration_error: f64,
    /// The reliability diagram: [`BINS`] bins of equal width over the confidence, upwards.
    pub bins: Vec<Bin>,
    /// Fraction of each class's images that are recognised; `None` of a class without images.
    pub class_accuracy: Vec<Option<f64>>,
    /// Images by label, and of each label by the class that they were taken for.
    pub confusion: Vec<Vec<u64>>,
}

/// What an exit says of one image whose label is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    /// The image's class.
    pub label: usize,
    /// The class that the exit takes it for.
    pub class: usize,
    /// The probability it gives to that class, 0 to 1.
    pub confidence: f64,
    /// How many classes it finds more probable than the label.
    pub rank: usize,
    /// Negative log-likelihood of the label, in nats.
    pub loss: f64,
}

impl ExitEvaluation {
    /// Counts the guesses of an exit of this name, of which there is at least one.
    ///
    /// # Panics
    /// When a label or a class is not below `classes`.
    pub fn of(name: &str, guesses: &[Guess], classes: usize) -> Self {
        let images = guesses.len() as f64;
        let share = |of: fn(&&Guess) -> bool| guesses.iter().filter(of).count() as f64 / images;
        let mut confusion = vec![vec![0; classes]; classes];
        for guess in guesses {
            confusion[guess.label][guess.class] += 1;
        }
        let class_accuracy = confusion.iter().enumerate().map(|(class, row): (_, &Vec<u64>)| {
            let images: u64 = row.iter().sum();
            (images > 0).then(|| row[class] as f64 / images as f64)
        });
        let bins = calibration::bins(guesses);
        Self {
            name: name.to_owned(),
            top1: share(|guess| guess.class == guess.label),
            top5: share(|guess| guess.rank < 5),
            loss: guesses.iter().map(|guess| guess.loss).sum::<f64>() / images,
            calibration_error: calibration::error(&bins),
            class_accuracy: class_accuracy.collect(),
            bins,
            confusion,
        }
    }

    /// Mean probability of the first guess.
    pub fn mean_confidence(&self) -> f64 {
        calibration::mean_confidence(&self.bins)
    }

    fn accuracy(&self) -> ExitAccuracy {
        let Self { name, top1, top5, loss, .. } = self;
        ExitAccuracy { name: name.clone(), top1: *top1, top5: *top5, loss: *loss }
    }
}

impl EvaluationRecord {
    /// The scores alone.
    pub fn scores(&self) -> SplitScore {
        SplitScore {
            exits: self.exits.iter().map(ExitEvaluation::accuracy).collect(),
            ensemble: self.ensemble.accuracy(),
        }
    }

    /// The exits, the deepest last, and after them the ensemble where it is not the only exit.
    pub fn all(&self) -> impl Iterator<Item = &ExitEvaluation> {
        let several = self.exits.len() > 1;
        self.exits.iter().chain(several.then_some(&self.ensemble))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(label: usize, class: usize, rank: usize) -> Guess {
        Guess { label, class, confidence: 0.5, rank, loss: 1.0 }
    }

    #[test]
    fn images_are_counted_by_label_and_class() {
        let guesses = [guess(0, 0, 0), guess(0, 1, 1), guess(0, 1, 5), guess(1, 1, 0)];
        let exit = ExitEvaluation::of("exit1", &guesses, 3);
        assert_eq!(exit.confusion, [[1, 2, 0], [0, 1, 0], [0, 0, 0]]);
        assert_eq!(exit.class_accuracy, [Some(1.0 / 3.0), Some(1.0), None]);
        assert_eq!((exit.top1, exit.top5), (0.5, 0.75));
    }
}
