//! Full evaluation of a run's weights on a split: `evaluation.json`.
//!
//! For every exit and the ensemble: accuracy, negative log-likelihood, calibration and confusion
//! matrix. For networks with several exits: cost and accuracy of early exit, with thresholds chosen on
//! the validation split.

mod calibration;
mod check;
mod class_scores;
mod early_exit;

pub use calibration::{BINS, Bin, TemperatureScaling};
pub use class_scores::ClassScores;
pub use early_exit::{
    BUDGETS, Budget, EarlyExit, ExitPolicy, ExitRule, OperatingPoint, Outcome, RuleChoice,
    RuleCurve,
};

use serde::{Deserialize, Serialize};

use crate::record::{ExitAccuracy, SplitScore, null_is_nan};

/// Version of the records in this module; `evaluation.json` carries it as `schema_version`.
pub const EVALUATION_VERSION: u32 = 1;

/// Evaluation of every exit and the ensemble on all images of a split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// [`EVALUATION_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// The split: `test` or `valid`.
    pub split: String,
    /// File name of the weights in the run's folder.
    pub weights: String,
    /// Number of images of the split.
    pub images: u64,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// Mean of each channel that was subtracted from values between 0 and 1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel that they were then divided by.
    pub deviation: Vec<f32>,
    /// Whether the images of a split differ from those of the training.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other_images: bool,
    /// Shallow first, the deepest last.
    pub exits: Vec<ExitEvaluation>,
    /// The mean of all exits' logits.
    pub ensemble: ExitEvaluation,
    /// Early exit on the test set. `None` for other splits, for networks with a single exit, and
    /// without a validation split.
    pub early_exit: Option<EarlyExit>,
}

/// One exit on one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitEvaluation {
    /// Name of the exit, or `ensemble`.
    pub name: String,
    /// Top-1 accuracy, 0 to 1.
    pub top1: f64,
    /// Top-5 accuracy, 0 to 1; always 1 with at most five classes.
    pub top5: f64,
    /// Mean negative log-likelihood of the labels in nats: the mean cross-entropy.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Expected calibration error without temperature scaling, 0 to 1: the mean over the images of the
    /// distance between accuracy and confidence of their bin (Guo et al. 2017, equation 3).
    pub calibration_error: f64,
    /// The reliability diagram: [`BINS`] bins of equal width in increasing confidence.
    pub bins: Vec<Bin>,
    /// Confidence at the temperature that rules, `predict` and exports use; `None` without a
    /// validation split and in records of earlier versions, where that temperature is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<TemperatureScaling>,
    /// Scores that count every class alike; `None` in records of earlier versions, see
    /// [`class_scores`](Self::class_scores).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_class: Option<ClassScores>,
    /// Accuracy on the images of each class, which is its recall; `None` for a class without images.
    pub class_accuracy: Vec<Option<f64>>,
    /// Number of images by label (rows) and prediction (columns).
    pub confusion: Vec<Vec<u64>>,
}

/// An exit's prediction for an image with a known label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledPrediction {
    /// The image's class.
    pub label: usize,
    /// The predicted class.
    pub class: usize,
    /// Probability of that class, 0 to 1.
    pub confidence: f64,
    /// Number of classes that count as more probable than the label.
    pub rank: usize,
    /// Negative log-likelihood of the label, in nats.
    pub loss: f64,
}

impl LabelledPrediction {
    /// Whether the label is the most probable class.
    pub const fn is_correct(&self) -> bool {
        self.rank == 0
    }
}

impl ExitEvaluation {
    /// Evaluates the predictions of an exit, at least one.
    ///
    /// # Panics
    /// If a label or a class is not below `classes`.
    pub fn of(name: &str, predictions: &[LabelledPrediction], classes: usize) -> Self {
        let images = predictions.len() as f64;
        let share = |of: fn(&&LabelledPrediction) -> bool| {
            predictions.iter().filter(of).count() as f64 / images
        };
        let mut confusion = vec![vec![0; classes]; classes];
        for prediction in predictions {
            confusion[prediction.label][prediction.class] += 1;
        }
        let class_accuracy = confusion.iter().enumerate().map(|(class, row): (_, &Vec<u64>)| {
            let images: u64 = row.iter().sum();
            (images > 0).then(|| row[class] as f64 / images as f64)
        });
        let bins = calibration::bins(predictions);
        Self {
            name: name.to_owned(),
            top1: share(|prediction| prediction.is_correct()),
            top5: share(|prediction| prediction.rank < 5),
            loss: calibration::mean_loss(predictions),
            calibration_error: calibration::error(&bins),
            class_accuracy: class_accuracy.collect(),
            bins,
            scaling: None,
            by_class: Some(ClassScores::of(&confusion)),
            confusion,
        }
    }

    /// Returns the scores that count every class alike.
    pub fn class_scores(&self) -> ClassScores {
        self.by_class.clone().unwrap_or_else(|| ClassScores::of(&self.confusion))
    }

    /// Returns the temperature of its probabilities.
    pub fn temperature(&self) -> f32 {
        self.scaling.as_ref().map_or(1.0, |scaling| scaling.temperature)
    }

    /// Returns the mean probability of the predicted class, without temperature scaling.
    pub fn mean_confidence(&self) -> f64 {
        calibration::mean_confidence(&self.bins)
    }

    fn accuracy(&self) -> ExitAccuracy {
        let Self { name, top1, top5, loss, .. } = self;
        ExitAccuracy { name: name.clone(), top1: *top1, top5: *top5, loss: *loss }
    }
}

impl EvaluationRecord {
    /// Returns the scores only.
    pub fn scores(&self) -> SplitScore {
        SplitScore {
            exits: self.exits.iter().map(ExitEvaluation::accuracy).collect(),
            ensemble: self.ensemble.accuracy(),
        }
    }

    /// Returns the temperature of each exit, shallow first, and last of the ensemble.
    pub fn temperatures(&self) -> Vec<f32> {
        self.exits.iter().chain([&self.ensemble]).map(ExitEvaluation::temperature).collect()
    }

    /// Returns the exits, the deepest last, followed by the ensemble if there are several exits.
    pub fn all(&self) -> impl Iterator<Item = &ExitEvaluation> {
        let several = self.exits.len() > 1;
        self.exits.iter().chain(several.then_some(&self.ensemble))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(label: usize, class: usize, rank: usize) -> LabelledPrediction {
        LabelledPrediction { label, class, confidence: 0.5, rank, loss: 1.0 }
    }

    #[test]
    fn images_are_counted_by_label_and_prediction() {
        let predictions =
            [prediction(0, 0, 0), prediction(0, 1, 1), prediction(0, 1, 5), prediction(1, 1, 0)];
        let exit = ExitEvaluation::of("exit1", &predictions, 3);
        assert_eq!(exit.confusion, [[1, 2, 0], [0, 1, 0], [0, 0, 0]]);
        assert_eq!(exit.class_accuracy, [Some(1.0 / 3.0), Some(1.0), None]);
        assert_eq!((exit.top1, exit.top5), (0.5, 0.75));
    }
}
