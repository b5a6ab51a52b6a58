//! What every exit says of each image of a split, collected in one pass over it.

use sd_infer::{LogitCarry, Prediction, softmax};
use sd_models::ExitOutputs;
use sd_report::{ExitEvaluation, evaluation::LabelledPrediction};
use tch::{Kind, Tensor};

/// What a network says of a split: all that an evaluation counts, without the logits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Predictions {
    /// The images' classes.
    pub labels: Vec<usize>,
    /// Of each exit, shallow first, then of the ensemble: what it says of each image.
    pub exits: Vec<Vec<Said>>,
}

/// What an exit says of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    /// Its first guess, as an exported network gives it.
    pub opinion: Prediction,
    /// How many classes it finds more probable than the label.
    pub rank: usize,
    /// Negative log-likelihood of the label, in nats.
    pub loss: f64,
}

impl Said {
    /// Of the logits of an image with this label.
    fn of(logits: &[f32], label: usize) -> Self {
        let own = logits[label];
        // Of equal logits the first counts as the more probable, and what is no number as the most.
        let above = |(class, &other): (usize, &f32)| {
            class != label
                && (other > own || other.is_nan() || own.is_nan() || other == own && class < label)
        };
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let power = |&logit: &f32| f64::from(logit - largest).exp();
        let sum: f64 = logits.iter().map(power).sum();
        Self {
            opinion: Prediction::of(&softmax(logits)),
            rank: logits.iter().enumerate().filter(|&other| above(other)).count(),
            loss: sum.ln() - f64::from(own - largest),
        }
    }
}

impl Predictions {
    /// Adds a batch of outputs for `labels` `[N]`.
    pub fn add(&mut self, outputs: &ExitOutputs, labels: &Tensor) {
        self.add_carrying(outputs, labels, 0.0);
    }

    /// The same, where a share of what the exits before have said stays in an exit's answer.
    pub fn add_carrying(&mut self, outputs: &ExitOutputs, labels: &Tensor, carry: f32) {
        let labels: Vec<i64> = Vec::try_from(labels).expect("labels are whole numbers");
        let labels: Vec<usize> = labels.into_iter().map(|label| label as usize).collect();
        let mut memories = vec![LogitCarry::default(); labels.len()];
        let exits: Vec<Vec<Said>> = outputs
            .all()
            .map(|exit| {
                let heard = rows(&exit.logits).into_iter().zip(&mut memories).zip(&labels);
                heard
                    .map(|((row, memory), &label)| Said::of(memory.update(&row, carry), label))
                    .collect()
            })
            .collect();
        let ensemble = rows(&outputs.ensemble());
        let ensemble = ensemble.iter().zip(&labels).map(|(row, &label)| Said::of(row, label));
        self.exits.resize(exits.len() + 1, Vec::new());
        for (all, said) in self.exits.iter_mut().zip(exits.into_iter().chain([ensemble.collect()]))
        {
            all.extend(said);
        }
        self.labels.extend(labels);
    }

    /// How many images there are.
    pub fn images(&self) -> usize {
        self.labels.len()
    }

    /// The exits without the ensemble, the deepest last.
    pub fn without_ensemble(&self) -> &[Vec<Said>] {
        self.exits.split_last().map_or(&[], |(_, exits)| exits)
    }

    /// Whether the exit's first guess of the image is right.
    pub fn is_right(&self, exit: usize, image: usize) -> bool {
        self.exits[exit][image].opinion.class == self.labels[image]
    }

    /// The evaluation of each exit of these names, and last of the ensemble.
    pub fn evaluated(&self, names: &[String], classes: usize) -> Vec<ExitEvaluation> {
        let names = names.iter().map(String::as_str).chain(["ensemble"]);
        let evaluated = |(name, said): (&str, &Vec<Said>)| {
            let labelled = |(said, &label): (&Said, &usize)| LabelledPrediction {
                label,
                class: said.opinion.class,
                confidence: f64::from(said.opinion.confidence),
                rank: said.rank,
                loss: said.loss,
            };
            let labelled: Vec<LabelledPrediction> =
                said.iter().zip(&self.labels).map(labelled).collect();
            ExitEvaluation::of(name, &labelled, classes)
        };
        names.zip(&self.exits).map(evaluated).collect()
    }
}

/// The rows of `[N, K]` on the CPU.
pub(crate) fn rows(logits: &Tensor) -> Vec<Vec<f32>> {
    let (_, classes) = logits.size2().expect("logits are [N, K]");
    let logits = logits.to_kind(Kind::Float).contiguous().view(-1);
    let all: Vec<f32> = Vec::try_from(&logits).expect("logits are 32-bit floats");
    all.chunks_exact(classes as usize).map(<[f32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_what_is_before_the_label() {
        let rank = |logits: &[f32], label| Said::of(logits, label).rank;
        assert_eq!([0, 1, 2].map(|label| rank(&[1.0, 3.0, 2.0], label)), [2, 0, 1]);
        assert_eq!([0, 1].map(|label| rank(&[1.0, 1.0], label)), [0, 1]);
        assert_eq!(rank(&[f32::NAN; 3], 0), 2, "what is no number is not right");
    }

    #[test]
    fn the_loss_is_exact_where_the_probability_is_none() {
        let said = Said::of(&[0.0, 200.0], 0);
        assert!((said.loss - 200.0).abs() < 1e-9, "{said:?}");
        assert_eq!((said.opinion.class, said.opinion.confidence), (1, 1.0));
    }
}
