//! An experiment as written in a TOML file.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use sd_data::DataConfig;
use sd_layers::{FeatureShape, Precision};
use sd_models::{ModelConfig, Task};
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::objective::ObjectiveConfig;
use crate::optim::SgdConfig;
use crate::pretrained::PretrainedConfig;
use crate::schedule::ScheduleConfig;
use crate::setting;

/// An experiment: all that its result depends on, and nothing of where it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// How.
    pub train: TrainConfig,
}

/// The training recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training images.
    pub epochs: u64,
    /// Images a step.
    pub batch_size: usize,
    /// Number format of feature maps.
    pub precision: PrecisionConfig,
    /// The optimiser.
    pub sgd: SgdConfig,
    /// Learning rate over the steps.
    pub schedule: ScheduleConfig,
    /// Weights to start from; without them, every tensor has its random initialisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PretrainedConfig>,
}

/// A precision as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionConfig {
    /// The faster one on the device, see [`Precision::fastest_on`].
    Auto,
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
}

impl PrecisionConfig {
    /// The precision on `device`.
    pub fn on(self, device: Device) -> Precision {
        match self {
            Self::Auto => Precision::fastest_on(device),
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
        }
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

    fn check(&self) -> Result<()> {
        ensure!(
            !self.name.is_empty()
                && !self.name.contains(['/', '\\'])
                && !self.name.starts_with('.'),
            "name is `{}`, expected a name for a folder, without slashes",
            self.name
        );
        ensure!(self.train.epochs > 0, "train.epochs is 0, expected at least 1");
        ensure!(
            self.train.batch_size > 1,
            "train.batch_size is {}, expected at least 2 (batch norm)",
            self.train.batch_size
        );
        self.data.check()?;
        self.objective.check()?;
        self.train.sgd.check()?;
        self.train.schedule.check(self.train.epochs)
    }
}
