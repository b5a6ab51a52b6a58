//! Predictions of every exit for each image of a split.

use sd_infer::Prediction;
use sd_report::{ENSEMBLE, ExitEvaluation, evaluation::LabelledPrediction};

/// Predictions of a network on a split: everything that an evaluation counts, without the logits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Predictions {
    /// Labels of the images.
    pub labels: Vec<usize>,
    /// Predictions of each exit, shallow first, then of the ensemble, for each image.
    pub exits: Vec<Vec<ExitPrediction>>,
}

/// An exit's prediction for an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExitPrediction {
    /// Class and confidence, as an exported network gives them.
    pub prediction: Prediction,
    /// Rank of the label, see [`label_ranks`](super::label_ranks).
    pub rank: usize,
    /// Negative log-likelihood of the label, in nats.
    pub loss: f64,
}

impl ExitPrediction {
    /// From the logits of an image, their temperature, and the rank of the label.
    pub(super) fn new(logits: &[f32], temperature: f32, label: usize, rank: i64) -> Self {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let scaled = |logit: f32| f64::from(logit - max) / f64::from(temperature);
        let sum: f64 = logits.iter().map(|&logit| scaled(logit).exp()).sum();
        Self {
            prediction: Prediction::of(logits, temperature),
            rank: rank as usize,
            loss: sum.ln() - scaled(logits[label]),
        }
    }

    /// Whether the label has the highest logit.
    pub const fn is_correct(&self) -> bool {
        self.rank == 0
    }
}

impl Predictions {
    /// Number of images.
    pub fn images(&self) -> usize {
        self.labels.len()
    }

    /// The exits without the ensemble, the deepest last.
    pub fn without_ensemble(&self) -> &[Vec<ExitPrediction>] {
        self.exits.split_last().map_or(&[], |(_, exits)| exits)
    }

    /// Whether the exit classifies the image correctly.
    pub fn is_correct(&self, exit: usize, image: usize) -> bool {
        self.exits[exit][image].is_correct()
    }

    /// The predictions of an exit, or the ensemble, with the labels.
    pub fn labelled(&self, exit: usize) -> Vec<LabelledPrediction> {
        let labelled = |(exit, &label): (&ExitPrediction, &usize)| LabelledPrediction {
            label,
            class: exit.prediction.class,
            confidence: f64::from(exit.prediction.confidence),
            rank: exit.rank,
            loss: exit.loss,
        };
        self.exits[exit].iter().zip(&self.labels).map(labelled).collect()
    }

    /// The evaluation of each exit of these names, and last of the ensemble.
    pub fn evaluated(&self, names: &[String], classes: usize) -> Vec<ExitEvaluation> {
        let names = names.iter().map(String::as_str).chain([ENSEMBLE]);
        let exits = names.zip(0..self.exits.len());
        exits.map(|(name, exit)| ExitEvaluation::of(name, &self.labelled(exit), classes)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_exact_if_the_probability_underflows() {
        for temperature in [1.0, 2.0] {
            let exit = ExitPrediction::new(&[0.0, 200.0], temperature, 0, 1);
            assert!((exit.loss - 200.0 / f64::from(temperature)).abs() < 1e-9, "{exit:?}");
            assert_eq!((exit.prediction.class, exit.prediction.confidence), (1, 1.0));
        }
    }
}
