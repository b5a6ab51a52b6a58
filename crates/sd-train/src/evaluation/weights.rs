//! Weights files of runs, with the experiment in their metadata.

use std::path::Path;

use anyhow::{Context, Result, bail};
use sd_cli::WeightsChoice;
use sd_cli::config_difference::first_difference;
use sd_models::{TensorFile, variables};
use sd_report::run_folder::{self, write_atomic};
use tch::nn;
use toml::Table;

use crate::experiment::Experiment;

/// Key of the experiment in the metadata.
const EXPERIMENT: &str = "experiment";

/// Name of the weights file in the folder of a run.
pub const fn file(weights: WeightsChoice) -> &'static str {
    match weights {
        WeightsChoice::Last => run_folder::MODEL,
        WeightsChoice::Best => run_folder::BEST_MODEL,
    }
}

/// Name of the file with the test evaluation of the weights, in the folder of a run.
pub const fn evaluation_file(weights: WeightsChoice) -> &'static str {
    match weights {
        WeightsChoice::Last => run_folder::EVALUATION,
        WeightsChoice::Best => run_folder::BEST_EVALUATION,
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
/// If the file cannot be read, or its experiment has another network or other images: two
/// configurations can have the same shapes and yet be different networks.
pub fn load(path: &Path, vs: &nn::VarStore, experiment: &Experiment) -> Result<()> {
    let file = TensorFile::read(path)?;
    // Parsed as an experiment, so that omitted keys have their defaults on both sides.
    let saved = self::experiment(&file, path)?;
    if let Some(difference) =
        first_difference(&network_and_data(&saved)?, &network_and_data(experiment)?)
    {
        bail!("{}: weights of another configuration: {difference}", path.display());
    }
    Ok(file.copy_into(&variables(vs), path)?)
}

/// The experiment of a weights file; `path` is for messages.
///
/// # Errors
/// If the metadata lacks it, or it cannot be parsed.
pub fn experiment(file: &TensorFile, path: &Path) -> Result<Experiment> {
    let text = file
        .metadata
        .get(EXPERIMENT)
        .with_context(|| format!("{}: the metadata has no `{EXPERIMENT}`", path.display()))?;
    Experiment::parse(text, &[])
        .with_context(|| format!("{}: the metadata's `{EXPERIMENT}`", path.display()))
}

/// The keys on which the outputs of the weights depend: the network and its input. The split is
/// among them, because the normalisation is measured on the training images.
fn network_and_data(experiment: &Experiment) -> Result<Table> {
    let mut all: Table = experiment.to_toml()?.parse()?;
    all.retain(|key, _| key == "data" || key == "model");
    if let Some(data) = all.get_mut("data").and_then(toml::Value::as_table_mut) {
        data.remove("augment");
    }
    Ok(all)
}
