//! The experiment for a folder of images.

use std::path::Path;

use anyhow::{Context, Result};
use sd_cli::ExperimentArgs;
use sd_data::DataConfig;
use sd_data::own_images::SMALL_SIDE;

use super::Experiment;

/// Network and recipe, apart from what follows from the images.
const COMMON: &str = r#"
seed = 0

[objective.self_distillation]
alpha = 0.3
temperature = 3.0
lambda = 0.03
teacher = "deepest"
label_smoothing = 0.0

[train]
precision = "auto"
sgd = { momentum = 0.9, nesterov = true, weight_decay = 5e-4 }
"#;
/// The network for images of up to 64 pixels.
const SMALL: &str = r#"
exits = { after = [3, 4], kind = { light = { attention = { eca = {} } } } }
backbone = { vgg = { depth = 11, head = "linear", conv = "depthwise_separable", attention = "none" } }
"#;
/// The network for larger images.
const LARGE: &str = r#"
exits = { after = [1, 2, 3], kind = { light = { attention = { eca = {} } } } }
backbone = { resnet = { depth = 18, stem = "large", conv = "depthwise_separable", attention = "none" } }
"#;

/// Steps of a run, unless its epochs are out of range.
const STEPS: usize = 2000;
const EPOCHS: (usize, usize) = (10, 100);
/// Images per batch; small sets have at least 16 steps per epoch as long as a batch has 8 images.
const BATCH: (usize, usize) = (8, 64);
const STEPS_PER_EPOCH: usize = 16;
/// Highest learning rate for a batch of 64 images. Smaller batches have a proportional rate.
const PEAK: f64 = 0.05;

impl Experiment {
    /// The experiment that command-line arguments name: a configuration file or a folder of images,
    /// with changes.
    ///
    /// # Errors
    /// See [`read`](Self::read) and [`of_folder`](Self::of_folder).
    pub fn from_args(args: &ExperimentArgs, data_dir: &Path) -> Result<Self> {
        let ExperimentArgs { config, images, set, seed } = args;
        let Some(folder) = images else { return Self::read(config, set, *seed) };
        let text = Self::of_folder(folder, data_dir)
            .and_then(|experiment| experiment.to_toml())
            .with_context(|| format!("--images {}", folder.display()))?;
        let mut experiment = Self::parse(&text, set)?;
        experiment.seed = seed.unwrap_or(experiment.seed);
        Ok(experiment)
    }

    /// An experiment on the images in `folder`, named after it.
    ///
    /// - The data are those of [`DataConfig::of_folder`].
    /// - The network is VGG11 for images of up to 64 pixels, ResNet-18 for larger ones, both
    ///   depthwise-separable with light exits.
    /// - A batch has a sixteenth of the training images, rounded down to a power of two, 8 to 64. The
    ///   epochs make about 2,000 steps, 10 to 100 epochs. The learning rate is proportional to the
    ///   batch.
    ///
    /// # Errors
    /// See [`DataConfig::of_folder`].
    pub fn of_folder(folder: &Path, data_dir: &Path) -> Result<Self> {
        let (data, images) = DataConfig::of_folder(folder, data_dir)?;
        let (shape, _) = data.input();
        let model = if shape.height <= SMALL_SIDE { SMALL } else { LARGE };
        let batch = (images / STEPS_PER_EPOCH).max(1);
        let batch = (1 << batch.ilog2()).clamp(BATCH.0, BATCH.1).min(images);
        let epochs = STEPS.div_ceil(images / batch).clamp(EPOCHS.0, EPOCHS.1);
        let peak = PEAK * batch as f64 / BATCH.1 as f64;

        let mut table: toml::Table = COMMON.parse()?;
        let canonical = folder.canonicalize()?;
        let name = canonical.file_name().unwrap_or_default().to_string_lossy();
        table.insert("name".to_owned(), name.trim_start_matches('.').into());
        table.insert("data".to_owned(), toml::Value::try_from(&data)?);
        table.insert("model".to_owned(), model.parse::<toml::Table>()?.into());
        let train = table["train"].as_table_mut().context("`train` is a table")?;
        train.insert("epochs".to_owned(), (epochs as i64).into());
        train.insert("batch_size".to_owned(), (batch as i64).into());
        let schedule = format!("one_cycle = {{ peak = {peak:?}, warmup = 0.25 }}");
        train.insert("schedule".to_owned(), schedule.parse::<toml::Table>()?.into());
        Self::parse(&table.to_string(), &[])
    }
}
