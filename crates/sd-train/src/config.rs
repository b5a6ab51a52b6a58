//! An experiment as written in a TOML file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use schemars::JsonSchema;
use sd_data::{Data, DataConfig};
use sd_layers::FeatureShape;
use sd_models::{ModelConfig, Task};
use serde::{Deserialize, Serialize};

use crate::early_stopping::EarlyStoppingConfig;
use crate::ema::EmaConfig;
use crate::mix::MixConfig;
use crate::non_finite::NonFinite;
use crate::objective::ObjectiveConfig;
use crate::optim::{AdamWConfig, OptimiserConfig, SgdConfig};
use crate::overfit;
use crate::precision::PrecisionConfig;
use crate::pretrained::PretrainedConfig;
use crate::schedule::ScheduleConfig;
use crate::setting;

/// An experiment: all that its result depends on, and nothing of where it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Names the run's folder and its row in a report.
    pub name: String,
    /// Seed of weights, order and augmentation.
    pub seed: u64,
    /// The images.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// What is minimised.
    pub objective: ObjectiveConfig,
    /// How training images are mixed, if they are. Training accuracy is then counted by the label
    /// of the larger share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<MixConfig>,
    /// How.
    pub train: TrainConfig,
}

/// The training recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training images.
    pub epochs: u64,
    /// Images a batch.
    pub batch_size: usize,
    /// Batches a step, 1 unless it is written: their gradients are averaged, as if they were one
    /// batch that many times as large, where batch norm and objectives that sum over a batch do
    /// not see the difference. An epoch's last batches that do not fill a step are left out.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Number format of feature maps.
    pub precision: PrecisionConfig,
    /// The optimiser: this or `adamw`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sgd: Option<SgdConfig>,
    /// The optimiser: this or `sgd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adamw: Option<AdamWConfig>,
    /// Length above 0 that a step's gradients, all of them as one vector, are shortened to;
    /// without it, they are as long as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Learning rate over the steps.
    pub schedule: ScheduleConfig,
    /// An average of the weights that is evaluated and saved in their place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<EmaConfig>,
    /// Ending before the last epoch, when validation no longer improves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// What happens when a loss or a gradient is not finite; `stop` unless it is written.
    #[serde(default, skip_serializing_if = "NonFinite::is_default")]
    pub non_finite: NonFinite,
    /// Training images to learn by heart and to be evaluated on, all others being left out: what
    /// `train --overfit N` sets. A check, not a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overfit: Option<usize>,
    /// Weights to start from; without them, every tensor has its random initialisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PretrainedConfig>,
}

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

impl TrainConfig {
    /// The optimiser.
    ///
    /// # Errors
    /// Unless exactly one is written.
    pub fn optimiser(&self) -> Result<OptimiserConfig> {
        match (self.sgd.clone(), self.adamw.clone()) {
            (Some(sgd), None) => Ok(OptimiserConfig::Sgd(sgd)),
            (None, Some(adamw)) => Ok(OptimiserConfig::AdamW(adamw)),
            (None, None) => bail!("train has no optimiser, expected `sgd` or `adamw`"),
            (Some(_), Some(_)) => bail!("train has `sgd` and `adamw`, expected one of them"),
        }
    }

    fn check(&self) -> Result<()> {
        ensure!(self.epochs > 0, "train.epochs is 0, expected at least 1");
        ensure!(
            self.batch_size > 1,
            "train.batch_size is {}, expected at least 2 (batch norm)",
            self.batch_size
        );
        ensure!(self.accumulate > 0, "train.accumulate is 0, expected at least 1");
        self.optimiser()?.check()?;
        ensure!(
            self.clip.is_none_or(|clip| clip > 0.0 && clip.is_finite()),
            "train.clip is {}, expected a number above 0",
            self.clip.unwrap_or_default()
        );
        self.ema.as_ref().map_or(Ok(()), EmaConfig::check)?;
        self.early_stopping.as_ref().map_or(Ok(()), EarlyStoppingConfig::check)?;
        self.schedule.check(self.epochs)
    }
}

impl Experiment {
    /// Reads and checks an experiment, with `KEY=VALUE` changes made before it is typed, so that a
    /// misspelt key fails like one in the file.
    ///
    /// # Errors
    /// Names the file, and the key or value that is wrong.
    pub fn read(path: &Path, changes: &[String], seed: Option<u64>) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let mut experiment = Self::parse(&text, changes)
            .with_context(|| format!("in the configuration {}", path.display()))?;
        if let Some(seed) = seed {
            experiment.seed = seed;
        }
        Ok(experiment)
    }

    /// See [`Experiment::read`].
    ///
    /// # Errors
    /// Names the key or value that is wrong.
    pub fn parse(text: &str, changes: &[String]) -> Result<Self> {
        let experiment: Self = if changes.is_empty() {
            toml::from_str(text)?
        } else {
            let mut table: toml::Table = toml::from_str(text)?;
            for change in changes {
                setting::apply(&mut table, change).with_context(|| format!("-s {change}"))?;
            }
            table.try_into()?
        };
        experiment.check()?;
        Ok(experiment)
    }

    /// The experiment as TOML.
    ///
    /// # Errors
    /// None for an experiment that was read.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// What the images are, without reading them.
    pub fn task(&self) -> Task {
        let (shape, classes) = self.data.input();
        Task {
            input: FeatureShape::new(
                shape.channels as i64,
                shape.height as i64,
                shape.width as i64,
            ),
            classes: classes as i64,
        }
    }

    /// Where a run goes unless it is told.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from("runs").join(format!("{}-seed{}", self.name, self.seed))
    }

    /// The objective, and how images are mixed, such as `deepest only, mixup 0.2`.
    pub fn objective_in_words(&self) -> String {
        let objective = self.objective.get().name();
        match &self.mix {
            None => objective.to_owned(),
            Some(mix) => format!("{objective}, {}", mix.describe()),
        }
    }

    /// Reads the images.
    ///
    /// # Errors
    /// [`DataConfig::open`]'s; and if there are fewer images than are to be learnt by heart.
    pub fn open_data(&self, data_dir: &Path) -> Result<Data> {
        let data = self.data.open(data_dir)?;
        match self.train.overfit {
            None => Ok(data),
            Some(images) => overfit::select(data, images),
        }
    }

    fn check(&self) -> Result<()> {
        ensure!(
            !self.name.is_empty()
                && !self.name.contains(['/', '\\'])
                && !self.name.starts_with('.'),
            "name is `{}`, expected a name for a folder, without slashes",
            self.name
        );
        self.data.check()?;
        self.objective.check(&self.model)?;
        self.mix.as_ref().map_or(Ok(()), MixConfig::check)?;
        self.train.check()
    }
}
