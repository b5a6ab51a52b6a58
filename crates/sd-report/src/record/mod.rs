//! What a run writes down about itself: the contents of `summary.json`, `epochs.jsonl` and
//! `environment.json`.
//!
//! Accuracies are fractions between 0 and 1, losses are mean cross-entropies in nats, and the
//! last of every list of exits is the deepest. JSON has no NaN: a number that is not finite is
//! written as `null` and read back as NaN, so that a run whose loss blew up can still be
//! reported.

pub(crate) mod legacy;
mod model;
mod objective;

pub use model::{BackboneSummary, Choice, ExitsSummary, ModelSummary};
pub use objective::{MixingSummary, ObjectiveSummary};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the records in this module and of benchmarks; `summary.json` carries it. Fields that
/// are only added, and optional, keep the version.
pub const SCHEMA_VERSION: u32 = 1;

/// Parameters and multiply-accumulates of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-accumulates for one image.
    pub macs: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All epochs trained and evaluated.
    Finished,
    /// Stopped on request or by a limit before its last epoch; can be resumed.
    Interrupted,
    /// Ended with an error.
    Failed,
}

/// A run's result: `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// How the run ended.
    pub status: Status,
    /// Name of the experiment.
    pub name: String,
    /// The network as text, such as `vgg11 grouped8, light exits (eca)`.
    pub model: String,
    /// The network as data. Runs of earlier versions have none in `summary.json`;
    /// [`Run::open`](crate::Run::open) derives it from their configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_summary: Option<ModelSummary>,
    /// Name of the data set.
    pub dataset: String,
    /// The training objective as text, such as `self-distillation, mixup 0.2`.
    pub objective: String,
    /// The training objective as data; derived as for `model_summary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_summary: Option<ObjectiveSummary>,
    /// Seed of every random stream of the run.
    pub seed: u64,
    /// Epochs finished.
    pub epochs: u64,
    /// Optimiser steps taken.
    pub steps: u64,
    /// Whether it finished before the last epoch that was asked for, because validation no longer
    /// improved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped_early: bool,
    /// Scores after the last epoch, shallow first, the deepest last.
    pub exits: Vec<ExitScore>,
    /// Scores of the mean of all exits' logits after the last epoch.
    pub ensemble: EnsembleScore,
    /// The network up to its deepest exit, without the shallow ones.
    pub deployed: Cost,
    /// The network with every exit, as it is trained.
    pub framework: Cost,
    /// The same network with dense convolutions, up to its deepest exit.
    pub dense_original: Option<Cost>,
    /// The epoch that validation chose; `None` without a validation split.
    pub best: Option<BestEpoch>,
    /// Training throughput over the whole run.
    #[serde(deserialize_with = "null_is_nan")]
    pub images_per_second: f64,
    /// Seconds of training alone, over all epochs, without evaluation.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
}

/// One exit after the last epoch. The scores are `None` until it is evaluated, which an
/// interrupted run may not have come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitScore {
    /// Name of the exit.
    pub name: String,
    /// Fraction of test images whose label is the first guess.
    pub test_top1: Option<f64>,
    /// Fraction of test images whose label is among the first five guesses.
    pub test_top5: Option<f64>,
    /// Mean cross-entropy on the test images. Also `None` when it was not finite.
    pub test_loss: Option<f64>,
    /// Parameters of the network when it ends at this exit and has no other.
    pub params: u64,
    /// Multiply-accumulates for one image of that same network.
    pub macs: u64,
}

/// The mean of all exits' logits after the last epoch; `None` until evaluated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EnsembleScore {
    /// Fraction of test images whose label is the first guess.
    pub test_top1: Option<f64>,
    /// Fraction of test images whose label is among the first five guesses.
    pub test_top5: Option<f64>,
    /// Mean cross-entropy on the test images. Also `None` when it was not finite.
    pub test_loss: Option<f64>,
}

/// The epoch that the validation split chose, and its scores on the test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestEpoch {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Validation top-1 of the deepest exit, which chose the epoch.
    #[serde(deserialize_with = "null_is_nan")]
    pub valid_top1: f64,
    /// Test scores of every exit with that epoch's weights, the deepest last.
    pub exits: Vec<ExitAccuracy>,
    /// Test scores of the mean of all exits' logits.
    pub ensemble: ExitAccuracy,
}

/// One epoch: a line of `epochs.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Optimiser steps since the start of the run.
    pub step: u64,
    /// Learning rate at the epoch's last step.
    #[serde(deserialize_with = "null_is_nan")]
    pub learning_rate: f64,
    /// Seconds of training alone, without evaluation.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
    /// Training images a second in this epoch.
    #[serde(deserialize_with = "null_is_nan")]
    pub images_per_second: f64,
    /// Mean training loss: the sum of `terms`.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// The loss's terms by name, each with its weight applied.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub terms: BTreeMap<String, f64>,
    /// Every exit on the training images as they were trained on, the deepest last.
    pub train: Vec<ExitAccuracy>,
    /// Scores on the validation split, where there is one and this epoch was evaluated.
    pub valid: Option<SplitScore>,
}

/// Every exit and the ensemble on one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitScore {
    /// Shallow first, the deepest last.
    pub exits: Vec<ExitAccuracy>,
    /// The mean of all exits' logits.
    pub ensemble: ExitAccuracy,
}

/// One exit on one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitAccuracy {
    /// Name of the exit.
    pub name: String,
    /// Fraction whose label is the first guess.
    #[serde(deserialize_with = "null_is_nan")]
    pub top1: f64,
    /// Fraction whose label is among the first five guesses.
    #[serde(deserialize_with = "null_is_nan")]
    pub top5: f64,
    /// Mean cross-entropy.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
}

impl EpochRecord {
    /// The scores of every exit by the name of the split, `train` or `valid`, and those of the
    /// ensemble on the latter.
    pub fn scores(&self) -> impl Iterator<Item = (&'static str, &ExitAccuracy)> {
        let train = self.train.iter().map(|exit| ("train", exit));
        let valid = self.valid.iter().flat_map(|valid| valid.exits.iter().chain([&valid.ensemble]));
        train.chain(valid.map(|exit| ("valid", exit)))
    }
}

impl ExitAccuracy {
    /// Its numbers by name, as curves and columns are called.
    pub const fn numbers(&self) -> [(&'static str, f64); 3] {
        [("top1", self.top1), ("top5", self.top5), ("cross_entropy", self.loss)]
    }
}

/// Where a run happened: `environment.json`. What needs no libtorch comes from
/// [`Host::capture`](crate::Host::capture).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of the program.
    pub version: String,
    /// Git commit of the folder it was started in; ends in `+` where tracked files had changed.
    pub commit: Option<String>,
    /// The command line.
    pub command: String,
    /// When it started, RFC 3339 in UTC.
    pub started: String,
    /// Operating system and kernel.
    pub os: String,
    /// Model name of the processor.
    pub cpu: String,
    /// Processor cores that the program may use.
    pub cores: usize,
    /// Threads that it was told to use.
    pub threads: usize,
    /// Memory of the machine in bytes.
    pub memory_bytes: Option<u64>,
    /// Device that trained, such as `cpu` or `cuda:0 (model)`.
    pub device: String,
    /// Number format of the arithmetic, such as `f32` or `bf16`.
    pub precision: String,
    /// Version of libtorch.
    pub libtorch: String,
}

pub(crate) fn null_is_nan<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

fn nulls_are_nan<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, f64>, D::Error> {
    let read = BTreeMap::<String, Option<f64>>::deserialize(from)?;
    Ok(read.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_not_finite_come_back_as_nan() {
        let epoch = EpochRecord {
            epoch: 1,
            step: 10,
            learning_rate: 0.1,
            seconds: 1.0,
            images_per_second: f64::INFINITY,
            loss: f64::NAN,
            terms: BTreeMap::from([("label".to_owned(), f64::NAN), ("soft".to_owned(), 0.5)]),
            train: vec![ExitAccuracy {
                name: "exit1".to_owned(),
                top1: 0.01,
                top5: 0.05,
                loss: f64::NAN,
            }],
            valid: None,
        };
        let text = serde_json::to_string(&epoch).unwrap();
        let back: EpochRecord = serde_json::from_str(&text).unwrap();
        assert!(back.loss.is_nan() && back.terms["label"].is_nan());
        assert!(back.train[0].loss.is_nan() && back.images_per_second.is_nan());
        assert_eq!(back.terms["soft"], 0.5);
    }

    #[test]
    fn a_status_is_written_in_snake_case() {
        assert_eq!(serde_json::to_string(&Status::Interrupted).unwrap(), "\"interrupted\"");
    }
}
