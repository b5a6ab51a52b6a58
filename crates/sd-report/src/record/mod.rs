//! Records of a run: `summary.json`, `epochs.jsonl` and `environment.json`.
//!
//! Accuracies are fractions between 0 and 1, losses are mean cross-entropies in nats, and lists of
//! exits end with the deepest. JSON has no NaN: a number that is not finite is written as `null` and
//! read back as NaN, so that diverged runs can still be reported.

pub(crate) mod legacy;
mod model;
mod objective;

pub use model::{BackboneSummary, Choice, ExitsSummary, ModelSummary};
pub use objective::{MixingSummary, ObjectiveSummary, Teacher};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the records in this module and of benchmarks; `summary.json` carries it. Fields that
/// are only added, and optional, keep the version.
pub const SCHEMA_VERSION: u32 = 1;

/// Name of the mean of all exits' logits.
pub const ENSEMBLE: &str = "ensemble";

/// Parameters and MACs of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-accumulates per image.
    pub macs: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Training goes on. Never in `summary.json`, which is written at the end.
    Running,
    /// Trained and evaluated completely.
    Finished,
    /// Stopped before its last epoch, on request or by a limit; can be resumed.
    Interrupted,
    /// Ended with an error.
    Failed,
}

/// The result of a run: `summary.json`.
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
    /// Finished epochs.
    pub epochs: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Whether early stopping ended it before the last configured epoch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped_early: bool,
    /// Scores after the last epoch, the deepest exit last.
    pub exits: Vec<ExitScore>,
    /// Scores of the mean of all exits' logits after the last epoch.
    pub ensemble: EnsembleScore,
    /// The network up to its deepest exit, without shallow exits.
    pub deployed: Cost,
    /// The network with all exits, as trained.
    pub framework: Cost,
    /// The same network with dense convolutions, up to its deepest exit.
    pub dense_original: Option<Cost>,
    /// The best epoch by validation accuracy; `None` without a validation split.
    pub best: Option<BestEpoch>,
    /// Training images per second over the whole run.
    #[serde(deserialize_with = "null_is_nan")]
    pub images_per_second: f64,
    /// Seconds of training over all epochs, without evaluation.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
}

impl RunRecord {
    /// Returns what can be deployed: the network up to each exit, shallow first, then, with several
    /// exits, all of it with its ensemble.
    pub fn deployable(&self) -> impl Iterator<Item = ExitScore> {
        let EnsembleScore { test_top1, test_top5, test_loss } = self.ensemble;
        let ensemble = ExitScore {
            name: ENSEMBLE.to_owned(),
            test_top1,
            test_top5,
            test_loss,
            params: self.framework.params,
            macs: self.framework.macs,
        };
        let several = self.exits.len() > 1;
        self.exits.iter().cloned().chain(several.then_some(ensemble))
    }
}

/// One exit after the last epoch. Scores are `None` if it was not evaluated, as in interrupted runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitScore {
    /// Name of the exit.
    pub name: String,
    /// Test top-1 accuracy, 0 to 1.
    pub test_top1: Option<f64>,
    /// Test top-5 accuracy, 0 to 1.
    pub test_top5: Option<f64>,
    /// Mean cross-entropy on the test images. Also `None` if it was not finite.
    pub test_loss: Option<f64>,
    /// Parameters of the network that ends at this exit and has no other.
    pub params: u64,
    /// MACs per image of that network.
    pub macs: u64,
}

/// The mean of all exits' logits after the last epoch. Scores are `None` if it was not evaluated.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EnsembleScore {
    /// Test top-1 accuracy, 0 to 1.
    pub test_top1: Option<f64>,
    /// Test top-5 accuracy, 0 to 1.
    pub test_top5: Option<f64>,
    /// Mean cross-entropy on the test images. Also `None` if it was not finite.
    pub test_loss: Option<f64>,
}

/// The best epoch by validation accuracy, with its scores on the test set. There are none of a run that
/// has not ended, nor without a test split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestEpoch {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Validation top-1 of the deepest exit, by which the epoch was chosen.
    #[serde(deserialize_with = "null_is_nan")]
    pub valid_top1: f64,
    /// Test scores of every exit with the weights of that epoch, the deepest last.
    #[serde(default)]
    pub exits: Vec<ExitAccuracy>,
    /// Test scores of the mean of all exits' logits.
    #[serde(default)]
    pub ensemble: Option<ExitAccuracy>,
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
    /// Seconds of training, without evaluation.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
    /// Training images per second in this epoch.
    #[serde(deserialize_with = "null_is_nan")]
    pub images_per_second: f64,
    /// Mean training loss, the sum of `terms`.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// The weighted terms of the loss by name.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub terms: BTreeMap<String, f64>,
    /// Every exit on the augmented training images, the deepest last.
    pub train: Vec<ExitAccuracy>,
    /// Scores on the validation split; `None` if this epoch was not evaluated.
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
    /// Top-1 accuracy, 0 to 1.
    #[serde(deserialize_with = "null_is_nan")]
    pub top1: f64,
    /// Top-5 accuracy, 0 to 1.
    #[serde(deserialize_with = "null_is_nan")]
    pub top5: f64,
    /// Mean cross-entropy.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
}

impl EpochRecord {
    /// Returns the scores of every exit with the name of the split, `train` or `valid`, and those of
    /// the ensemble for the latter.
    pub fn scores(&self) -> impl Iterator<Item = (&'static str, &ExitAccuracy)> {
        let train = self.train.iter().map(|exit| ("train", exit));
        let valid = self.valid.iter().flat_map(|valid| valid.exits.iter().chain([&valid.ensemble]));
        train.chain(valid.map(|exit| ("valid", exit)))
    }
}

impl ExitAccuracy {
    /// Returns its numbers with their names in curves and columns.
    pub const fn numbers(&self) -> [(&'static str, f64); 3] {
        [("top1", self.top1), ("top5", self.top5), ("cross_entropy", self.loss)]
    }
}

/// Hardware and software of a run: `environment.json`. The values that need no libtorch come from
/// [`Host::capture`](crate::Host::capture).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of the program.
    pub version: String,
    /// Git commit of the folder it was started in, with a final `+` if tracked files had changed.
    pub commit: Option<String>,
    /// The command line.
    pub command: String,
    /// Start time, RFC 3339 in UTC.
    pub started: String,
    /// Operating system and kernel.
    pub os: String,
    /// Model name of the processor.
    pub cpu: String,
    /// Cores available to the program.
    pub cores: usize,
    /// Number of threads of a process.
    pub threads: usize,
    /// Number of processes.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub processes: usize,
    /// Memory of the machine in bytes.
    pub memory_bytes: Option<u64>,
    /// Training device, such as `cpu` or `cuda:0 (model)`.
    pub device: String,
    /// Number format of the arithmetic, such as `f32` or `bf16`.
    pub precision: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// Environments of the processes before, if the run was resumed, the first first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Self>,
}

fn one() -> usize {
    1
}

fn is_one(processes: &usize) -> bool {
    *processes == 1
}

impl Environment {
    /// Adds the environment that this process continues, if there was one.
    pub fn follow(&mut self, before: Option<Self>) {
        if let Some(mut before) = before {
            self.earlier = std::mem::take(&mut before.earlier);
            self.earlier.push(before);
        }
    }
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
    fn numbers_that_are_not_finite_are_read_back_as_nan() {
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
