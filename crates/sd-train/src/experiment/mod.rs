//! Experiments: the configuration file, and what follows from it.

mod class_weights;
pub(crate) mod costs;
mod early_stopping;
pub mod fingerprint;
mod non_finite_policy;
mod overfit;
mod own_images;
mod precision;
mod pretrained;
mod reference;
mod schema;

pub use class_weights::ClassWeightsConfig;
pub use early_stopping::EarlyStoppingConfig;
pub use non_finite_policy::NonFinitePolicy;
pub use precision::PrecisionConfig;
pub use pretrained::{PretrainedConfig, Source};
pub(crate) use reference::reference;
pub(crate) use schema::schema;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use sd_cli::config_override;
use sd_data::{Data, DataConfig};
use sd_layers::{FeatureShape, Precision};
use sd_models::{ModelConfig, Task};
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::data::MixConfig;
use crate::objective::ObjectiveConfig;
use crate::optim::{EmaConfig, OptimiserConfig, ScheduleConfig};
use crate::ranges;

/// An experiment: everything that its result depends on, and nothing about where it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Name of the run's folder and of its row in a report.
    pub name: String,
    /// Seed of weights, order and augmentation.
    pub seed: u64,
    /// The images.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// The loss to minimise.
    pub objective: ObjectiveConfig,
    /// Mixing of training images. Training accuracy then counts the label with the larger share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<MixConfig>,
    /// Training hyperparameters.
    pub train: TrainConfig,
}

/// Training hyperparameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training images.
    pub epochs: u64,
    /// Images per batch, at least 2; several processes share them evenly.
    pub batch_size: usize,
    /// Batches per step, whose gradients are averaged as if they were one larger batch. Batch norm,
    /// class weights and objectives that sum over a batch still see single batches. The last batches of
    /// an epoch that do not fill a step are dropped.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Whether batch norm takes its statistics from the images of all processes. By default each
    /// process normalises its own share of a batch, as with a smaller batch. No effect on a single
    /// process.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sync_batch_norm: bool,
    /// Number format of feature maps.
    pub precision: PrecisionConfig,
    /// The optimiser.
    #[serde(flatten)]
    pub optimiser: OptimiserConfig,
    /// Weights of the classes in the loss, for unequal numbers of images. Unset: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeightsConfig>,
    /// Maximum global gradient norm, above 0. Unset: no clipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Learning rate over the steps.
    pub schedule: ScheduleConfig,
    /// Exponential moving average of the weights, evaluated and saved in their place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<EmaConfig>,
    /// Early stopping when validation accuracy no longer improves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// What happens when a loss or a gradient is not finite.
    #[serde(default, skip_serializing_if = "NonFinitePolicy::is_default")]
    pub non_finite: NonFinitePolicy,
    /// Train and evaluate on this many training images only; set by `train --overfit N`. A check
    /// that the network can learn, not a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overfit: Option<usize>,
    /// Pretrained weights to start from. Unset: random initialisation.
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
    fn check(&self) -> Result<()> {
        ensure!(self.epochs > 0, "train.epochs is 0, expected at least 1");
        ensure!(
            self.batch_size > 1,
            "train.batch_size is {}, expected at least 2 (batch norm)",
            self.batch_size
        );
        ensure!(self.accumulate > 0, "train.accumulate is 0, expected at least 1");
        self.optimiser.get()?.check()?;
        self.clip.map_or(Ok(()), |clip| ranges::positive("train.clip", clip))?;
        self.ema.as_ref().map_or(Ok(()), EmaConfig::check)?;
        self.early_stopping.as_ref().map_or(Ok(()), EarlyStoppingConfig::check)?;
        self.pretrained.as_ref().map_or(Ok(()), PretrainedConfig::check)?;
        self.schedule.check(self.epochs)
    }
}

impl Experiment {
    /// Reads and checks an experiment. The `KEY=VALUE` changes apply before it is parsed, so that a
    /// misspelt key fails as in the file.
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
                config_override::apply(&mut table, change)
                    .with_context(|| format!("-s {change}"))?;
            }
            table.try_into().map_err(explain)?
        };
        experiment.check()?;
        Ok(experiment)
    }

    /// The experiment as TOML.
    ///
    /// # Errors
    /// None for an experiment that was parsed.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// The network's task: shape of the images and number of classes. Reads no image.
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

    /// Number format of feature maps on `device`, see [`PrecisionConfig`].
    ///
    /// # Errors
    /// If the network does not build.
    pub fn precision(&self, device: Device) -> Result<Precision> {
        self.train.precision.resolve(&self.model, self.task(), device)
    }

    /// The experiment on `images` training images, neither augmented nor mixed.
    #[must_use]
    pub fn overfit(mut self, images: usize) -> Self {
        self.name = format!("{}-overfit{images}", self.name);
        self.data.augment = Vec::new();
        self.mix = None;
        self.train.overfit = Some(images);
        self.train.batch_size = self.train.batch_size.min(images);
        self
    }

    /// The experiment with the network that it deploys, see [`ModelConfig::merged`].
    #[must_use]
    pub fn merged(&self) -> Self {
        Self { model: self.model.merged(), ..self.clone() }
    }

    /// Default folder of a run.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from("runs").join(format!("{}-seed{}", self.name, self.seed))
    }

    /// The objective and the mixing, such as `deepest only, mixup 0.2`.
    pub fn objective_in_words(&self) -> String {
        let objective = self.objective.get().name();
        match &self.mix {
            None => objective.to_owned(),
            Some(mix) => format!("{objective}, {} {}", mix.get().name(), mix.get().alpha()),
        }
    }

    /// Reads the images.
    ///
    /// # Errors
    /// See [`DataConfig::open`]; also if there are fewer training images than `train.overfit`.
    pub fn open_data(&self, data_dir: &Path) -> Result<Data> {
        let data = self.data.open(data_dir)?;
        match self.train.overfit {
            None => Ok(data),
            Some(images) => overfit::select(data, images),
        }
    }

    /// Images per batch of an evaluation. It has no backward pass, so twice a training batch takes
    /// less memory than a step.
    pub fn evaluation_batch(&self) -> usize {
        self.train.batch_size.saturating_mul(2).min(256)
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
        let (_, classes) = self.data.input();
        ensure!(classes > 1, "data.dataset has {classes} class, expected at least 2");
        self.objective.check(&self.model)?;
        self.mix.as_ref().map_or(Ok(()), |mix| mix.get().check())?;
        let weights = &self.train.class_weights;
        weights.as_ref().map_or(Ok(()), |weights| weights.check(classes))?;
        self.train.check()
    }
}

/// A second choice beside the first, such as `train.schedule.cosine` beside `one_cycle`.
fn explain(error: toml::de::Error) -> anyhow::Error {
    let is_second_choice = error.to_string().contains("more than 1 element");
    let error = anyhow::Error::from(error);
    if !is_second_choice {
        return error;
    }
    error.context("two choices where one is expected; `-s 'KEY={ CHOICE = … }'` replaces the first")
}
