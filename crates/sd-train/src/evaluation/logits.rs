//! Logits of every exit for each image of a split.

use rayon::prelude::*;
use sd_infer::LogitCarry;
use sd_models::ExitOutputs;
use tch::{Kind, Tensor};

use super::accuracy::label_ranks;
use super::predictions::{ExitPrediction, Predictions};
use super::temperature;

/// Logits of a network on a split: 4 bytes per image, exit and class.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logits {
    labels: Vec<usize>,
    /// `[N, K]` of each exit, shallow first, then of the ensemble.
    exits: Vec<Vec<f32>>,
}

impl Logits {
    /// Adds a batch of outputs for `labels` `[N]`.
    pub fn add(&mut self, outputs: &ExitOutputs, labels: &Tensor) {
        let ensemble = outputs.ensemble();
        let batch = outputs.all().map(|exit| &exit.logits).chain([&ensemble]);
        let batch: Vec<Vec<f32>> = batch.map(values).collect();
        self.exits.resize(batch.len(), Vec::new());
        for (all, batch) in self.exits.iter_mut().zip(batch) {
            all.extend(batch);
        }
        let labels = Vec::<i64>::try_from(labels).expect("a row of integers");
        self.labels.extend(labels.into_iter().map(|label| label as usize));
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.labels.len()
    }

    /// The logits after carrying a share from exit to exit, see [`LogitCarry`]. The ensemble is that
    /// of the exits without carrying.
    #[must_use]
    pub fn carried(&self, share: f32) -> Self {
        let mut exits = self.exits.clone();
        let mut carry = LogitCarry::default();
        let own = exits.len().saturating_sub(1);
        for exit in &mut exits[..own] {
            *exit = carry.update(exit, share).to_vec();
        }
        Self { labels: self.labels.clone(), exits }
    }

    /// The temperature of each exit, and last of the ensemble, at which these labels are the most
    /// likely.
    pub fn temperatures(&self) -> Vec<f32> {
        self.exits.par_iter().map(|exit| temperature::fit(exit, &self.labels)).collect()
    }

    /// Predictions at a temperature for each exit, and last the ensemble; 1 where there is none.
    pub fn predictions(&self, temperatures: &[f32]) -> Predictions {
        let images = self.images();
        let labels: Vec<i64> = self.labels.iter().map(|&label| label as i64).collect();
        let labels = Tensor::from_slice(&labels);
        let of_exit = |(exit, logits): (usize, &Vec<f32>)| {
            let classes = logits.len() / images.max(1);
            let temperature = temperatures.get(exit).copied().unwrap_or(1.0);
            let ranks = label_ranks(&Tensor::from_slice(logits).view([images as i64, -1]), &labels);
            let ranks = Vec::<i64>::try_from(ranks).expect("a row of integers");
            let rows = logits.chunks_exact(classes).zip(&self.labels).zip(ranks);
            rows.map(|((row, &label), rank)| ExitPrediction::new(row, temperature, label, rank))
                .collect()
        };
        let exits = self.exits.iter().enumerate().map(of_exit).collect();
        Predictions { labels: self.labels.clone(), exits }
    }
}

/// The values of `[N, K]` on the CPU.
pub(crate) fn values(logits: &Tensor) -> Vec<f32> {
    let logits = logits.to_kind(Kind::Float).contiguous().view(-1);
    Vec::try_from(&logits).expect("logits are 32-bit floats")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two exits and the ensemble, with few distinct values, so that most rows have ties.
    fn logits(scale: f64) -> Logits {
        tch::manual_seed(3);
        let exit =
            || values(&(Tensor::randint(3, [200, 4], (Kind::Float, tch::Device::Cpu)) * scale));
        let labels = Tensor::randint(4, [200], (Kind::Int64, tch::Device::Cpu));
        let labels = Vec::<i64>::try_from(labels).unwrap();
        let labels = labels.into_iter().map(|label| label as usize).collect();
        Logits { labels, exits: vec![exit(), exit(), exit()] }
    }

    #[test]
    fn the_predicted_class_is_the_label_exactly_if_its_rank_is_0() {
        let found = logits(1e-8).predictions(&[1.0, 3.0, 0.3]);
        for exit in &found.exits {
            for (exit, &label) in exit.iter().zip(&found.labels) {
                assert_eq!(exit.prediction.class == label, exit.is_correct());
            }
        }
    }

    #[test]
    fn temperatures_change_confidences_and_no_class_or_rank() {
        let logits = logits(1.0).carried(0.5);
        let temperatures = logits.temperatures();
        assert!(temperatures.iter().all(|&temperature| temperature != 1.0), "{temperatures:?}");
        let [before, after] = [vec![], temperatures].map(|of| logits.predictions(&of));
        let mean = |exit: &Vec<ExitPrediction>| exit.iter().map(|of| of.loss).sum::<f64>();
        for (before, after) in before.exits.iter().zip(&after.exits) {
            assert!(mean(after) < mean(before));
            for (before, after) in before.iter().zip(after) {
                assert_eq!(before.prediction.class, after.prediction.class);
                assert_eq!(before.rank, after.rank);
            }
        }
    }

    #[test]
    fn each_image_carries_its_own_logits() {
        let logits = logits(1.0);
        let carried = logits.carried(0.5);
        let mut carry = LogitCarry::default();
        for exit in 0..2 {
            let image = 7 * 4..8 * 4;
            let expected = carry.update(&logits.exits[exit][image.clone()], 0.5);
            assert_eq!(&carried.exits[exit][image], expected);
        }
        assert_eq!(carried.exits[2], logits.exits[2]);
    }
}
