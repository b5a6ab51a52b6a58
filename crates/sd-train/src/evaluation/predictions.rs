//! Predictions of every exit for each image of a split.

use sd_infer::{LogitCarry, Prediction};
use sd_models::ExitOutputs;
use sd_report::{ExitEvaluation, evaluation::LabelledPrediction};
use tch::{Kind, Tensor};

use super::accuracy::label_ranks;

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
    /// Rank of the label, see [`label_ranks`].
    pub rank: usize,
    /// Negative log-likelihood of the label, in nats.
    pub loss: f64,
}

impl ExitPrediction {
    /// From the logits of an image and the rank of its label.
    fn new(logits: &[f32], label: usize, rank: i64) -> Self {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
        Self {
            prediction: Prediction::of(logits),
            rank: rank as usize,
            loss: sum.ln() - f64::from(logits[label] - max),
        }
    }

    /// Whether the label has the highest logit.
    pub const fn is_correct(&self) -> bool {
        self.rank == 0
    }
}

impl Predictions {
    /// Adds a batch of outputs for `labels` `[N]`.
    pub fn add(&mut self, outputs: &ExitOutputs, labels: &Tensor) {
        self.add_carrying(outputs, labels, 0.0);
    }

    /// The same with logits carried from exit to exit, see [`LogitCarry`].
    pub fn add_carrying(&mut self, outputs: &ExitOutputs, labels: &Tensor, carry: f32) {
        let mut carries = vec![LogitCarry::default(); labels.size()[0] as usize];
        let mut carried = |exit: &Tensor| {
            let rows = rows(exit).into_iter().zip(&mut carries);
            let rows: Vec<f32> =
                rows.flat_map(|(row, carried)| carried.update(&row, carry).to_vec()).collect();
            Tensor::from_slice(&rows).view_as(exit)
        };
        let mut logits: Vec<Tensor> = outputs.all().map(|exit| carried(&exit.logits)).collect();
        logits.push(outputs.ensemble());
        self.exits.resize(logits.len(), Vec::new());
        for (all, logits) in self.exits.iter_mut().zip(&logits) {
            all.extend(predictions(logits, labels));
        }
        self.labels.extend(to_vec(labels).into_iter().map(|label| label as usize));
    }

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

    /// The evaluation of each exit of these names, and last of the ensemble.
    pub fn evaluated(&self, names: &[String], classes: usize) -> Vec<ExitEvaluation> {
        let names = names.iter().map(String::as_str).chain(["ensemble"]);
        let evaluated = |(name, exit): (&str, &Vec<ExitPrediction>)| {
            let labelled = |(exit, &label): (&ExitPrediction, &usize)| LabelledPrediction {
                label,
                class: exit.prediction.class,
                confidence: f64::from(exit.prediction.confidence),
                rank: exit.rank,
                loss: exit.loss,
            };
            let labelled: Vec<_> = exit.iter().zip(&self.labels).map(labelled).collect();
            ExitEvaluation::of(name, &labelled, classes)
        };
        names.zip(&self.exits).map(evaluated).collect()
    }
}

/// Predictions from logits `[N, K]` for images with these labels `[N]`.
fn predictions(logits: &Tensor, labels: &Tensor) -> Vec<ExitPrediction> {
    let logits = logits.to_kind(Kind::Float);
    let ranks = to_vec(&label_ranks(&logits, &labels.to_device(logits.device())));
    let rows = rows(&logits).into_iter().zip(to_vec(labels)).zip(ranks);
    rows.map(|((row, label), rank)| ExitPrediction::new(&row, label as usize, rank)).collect()
}

/// The rows of `[N, K]` on the CPU.
pub(crate) fn rows(logits: &Tensor) -> Vec<Vec<f32>> {
    let (_, classes) = logits.size2().expect("logits are [N, K]");
    let logits = logits.to_kind(Kind::Float).contiguous().view(-1);
    let all: Vec<f32> = Vec::try_from(&logits).expect("logits are 32-bit floats");
    all.chunks_exact(classes as usize).map(<[f32]>::to_vec).collect()
}

fn to_vec(tensor: &Tensor) -> Vec<i64> {
    Vec::try_from(tensor).expect("a row of integers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_predicted_class_is_the_label_exactly_if_its_rank_is_0() {
        tch::manual_seed(3);
        // Few distinct values, so that most rows have ties.
        let logits = Tensor::randint(3, [200, 4], (Kind::Float, tch::Device::Cpu)) * 1e-8;
        let labels = Tensor::randint(4, [200], (Kind::Int64, tch::Device::Cpu));
        let found = predictions(&logits, &labels);
        for (exit, label) in found.iter().zip(to_vec(&labels)) {
            assert_eq!(exit.prediction.class as i64 == label, exit.is_correct());
        }
    }

    #[test]
    fn the_loss_is_exact_if_the_probability_underflows() {
        let exit = ExitPrediction::new(&[0.0, 200.0], 0, 1);
        assert!((exit.loss - 200.0).abs() < 1e-9, "{exit:?}");
        assert_eq!((exit.prediction.class, exit.prediction.confidence), (1, 1.0));
    }
}
