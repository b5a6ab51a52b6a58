//! Weights of a run, with the experiment that they come from.

use std::path::Path;

use anyhow::{Context, Result, bail};
use sd_bench::run_folder::{self, write_atomic};
use sd_models::{TensorFile, variables};
use tch::nn;
use toml::Table;

use crate::cli::Weights;
use crate::config::Experiment;
use crate::difference::first_difference;

/// The metadata's key.
const EXPERIMENT: &str = "experiment";

impl Weights {
    /// Their file in the run's folder.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Last => run_folder::MODEL,
            Self::Best => run_folder::BEST_MODEL,
        }
    }

    /// The file in the run's folder that holds their evaluation on the test set.
    pub const fn evaluation(self) -> &'static str {
        match self {
            Self::Last => run_folder::EVALUATION,
            Self::Best => run_folder::BEST_EVALUATION,
        }
    }
}

/// Writes weights with the experiment in their metadata.
///
/// # Errors
/// If the file cannot be written.
pub fn save(path: &Path, vs: &nn::VarStore, experiment: &Experiment) -> Result<()> {
    let metadata = [(EXPERIMENT.to_owned(), experiment.to_toml()?)];
    let file = TensorFile { tensors: variables(vs), metadata: metadata.into() };
    Ok(write_atomic(path, &file.to_bytes()?)?)
}

/// Reads weights into the variables of `experiment`'s network.
///
/// # Errors
/// If the file cannot be read, or is of another network or of other images than `experiment`'s:
/// two configurations can have the same shapes and mean different networks.
pub fn load(path: &Path, vs: &nn::VarStore, experiment: &Experiment) -> Result<()> {
    let file = TensorFile::read(path)?;
    // Read as an experiment, so that a key that was left out has its default on both sides.
    let then = self::experiment(&file, path)?;
    if let Some(difference) = first_difference(&meaning(&then)?, &meaning(experiment)?) {
        bail!("{}: weights of another configuration: {difference}", path.display());
    }
    Ok(file.copy_into(&variables(vs), path)?)
}

/// The experiment that a file's weights are of; `path` is for messages.
///
/// # Errors
/// If the file does not say it, or it cannot be read.
pub fn experiment(file: &TensorFile, path: &Path) -> Result<Experiment> {
    let text = file.metadata.get(EXPERIMENT).with_context(|| {
        format!("{}: weights without their `{EXPERIMENT}` in the metadata", path.display())
    })?;
    Experiment::parse(text, &[])
        .with_context(|| format!("{}: the metadata's `{EXPERIMENT}`", path.display()))
}

/// What the weights' outputs depend on: the network, and the images as it sees them. The split is
/// part of it, because the normalisation is measured on the images that it leaves to train on.
fn meaning(experiment: &Experiment) -> Result<Table> {
    let mut all: Table = experiment.to_toml()?.parse()?;
    all.retain(|key, _| key == "data" || key == "model");
    if let Some(data) = all.get_mut("data").and_then(toml::Value::as_table_mut) {
        data.remove("augment");
    }
    Ok(all)
}
