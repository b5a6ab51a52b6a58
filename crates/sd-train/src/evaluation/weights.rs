//! Weights files of runs, with the experiment in their metadata.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail};
use sd_cli::WeightsChoice;
use sd_cli::config_difference::first_difference;
use sd_layers::Precision;
use sd_models::{MultiExit, TensorFile, merge_branches, variables};
use sd_report::EvaluationRecord;
use sd_report::run_folder::{self, write_atomic};
use serde::Deserialize;
use tch::{Device, Tensor, nn};
use toml::Table;

use super::TrainingData;
use crate::experiment::Experiment;

/// Key of the experiment in the metadata.
const EXPERIMENT: &str = "experiment";
/// Key of the [`TrainingData`] in the metadata, as JSON.
const DATA: &str = "data";

/// Name of the weights file in the folder of a run.
pub const fn file(weights: WeightsChoice) -> &'static str {
    match weights {
        WeightsChoice::Last => run_folder::MODEL,
        WeightsChoice::Best => run_folder::BEST_MODEL,
        WeightsChoice::Checkpoint => run_folder::LAST_CHECKPOINT,
    }
}

/// Name of the file with the test evaluation of the weights, in the folder of a run; `None` for a
/// checkpoint, which the next one replaces.
pub const fn evaluation_file(weights: WeightsChoice) -> Option<&'static str> {
    match weights {
        WeightsChoice::Last => Some(run_folder::EVALUATION),
        WeightsChoice::Best => Some(run_folder::BEST_EVALUATION),
        WeightsChoice::Checkpoint => None,
    }
}

/// Name of the file with the ranges of the network's feature maps, in the folder of a run; `None` for a
/// checkpoint.
pub const fn calibration_file(weights: WeightsChoice) -> Option<&'static str> {
    match weights {
        WeightsChoice::Last => Some(run_folder::CALIBRATION),
        WeightsChoice::Best => Some(run_folder::BEST_CALIBRATION),
        WeightsChoice::Checkpoint => None,
    }
}

/// Reads the test evaluation of the weights, if the run has it.
///
/// # Errors
/// If the file cannot be read or is malformed.
pub fn recorded(run: &Path, weights: WeightsChoice) -> Result<Option<EvaluationRecord>> {
    let Some(file) = evaluation_file(weights) else { return Ok(None) };
    Ok(run_folder::read_evaluation(run.join(file))?)
}

/// Writes the weights of the merged network, see [`ModelConfig::merged`], with its experiment, and the
/// data of the training if there was one, in their metadata.
///
/// [`ModelConfig::merged`]: sd_models::ModelConfig::merged
///
/// # Errors
/// If the file cannot be written.
pub fn save(
    path: &Path,
    vs: &nn::VarStore,
    experiment: &Experiment,
    data: Option<&TrainingData>,
) -> Result<()> {
    let mut metadata: HashMap<_, _> =
        [(EXPERIMENT.to_owned(), experiment.merged().to_toml()?)].into();
    if let Some(data) = data {
        metadata.insert(DATA.to_owned(), serde_json::to_string(data)?);
    }
    let file = TensorFile { tensors: merge_branches(variables(vs)), metadata };
    Ok(write_atomic(path, &file.to_bytes()?)?)
}

/// Reads weights into the variables of `experiment`'s merged network. Returns the data of their
/// training if the file records it.
///
/// # Errors
/// If the file cannot be read, a tensor is not finite, or its experiment has another network or other
/// images: two configurations can have the same shapes and yet be different networks.
pub fn load(
    path: &Path,
    vs: &nn::VarStore,
    experiment: &Experiment,
) -> Result<Option<TrainingData>> {
    let file = read(path)?;
    // Parsed as an experiment, so that omitted keys have their defaults on both sides.
    let saved = self::experiment(&file, path)?;
    let [then, now] = [&saved, experiment].map(|one| network_and_data(&one.merged()));
    if let Some(difference) = first_difference(&then?, &now?) {
        bail!("{}: weights of another configuration: {difference}", path.display());
    }
    file.check_values(path)?;
    let file = if saved.model == saved.model.merged() { file } else { merged(file, &saved, path)? };
    file.copy_into(&variables(vs), path)?;
    parse_data(&file, path, experiment)
}

/// The file with the weights of `saved`'s network merged, which those of a checkpoint are not.
fn merged(file: TensorFile, saved: &Experiment, path: &Path) -> Result<TensorFile> {
    let vs = nn::VarStore::new(Device::Cpu);
    MultiExit::build(&vs.root(), &saved.model, saved.task(), Precision::F32)?;
    file.copy_into(&variables(&vs), path)?;
    Ok(TensorFile { tensors: merge_branches(variables(&vs)), ..file })
}

/// Reads a weights file, or the network of a checkpoint that would be evaluated: the moving average
/// if there is one.
fn read(path: &Path) -> Result<TensorFile> {
    let file = TensorFile::read(path)?;
    let Some(position) = file.metadata.get("position") else { return Ok(file) };
    let failed = || format!("{}: the position cannot be read", path.display());
    let Position { config, data } = serde_json::from_str(position).with_context(failed)?;
    let mut metadata: HashMap<_, _> = [(EXPERIMENT.to_owned(), config)].into();
    metadata.extend(data.map(|data| (DATA.to_owned(), data.to_string())));
    let group = |prefix: &str| -> BTreeMap<_, _> {
        let named = |(name, tensor): (&String, &Tensor)| {
            Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
        };
        file.tensors.iter().filter_map(named).collect()
    };
    let average = group("average.");
    let tensors = if average.is_empty() { group("weights.") } else { average };
    Ok(TensorFile { tensors, metadata })
}

/// What the weights in a checkpoint need of its position.
#[derive(Deserialize)]
struct Position {
    config: String,
    /// A [`TrainingData`].
    #[serde(default)]
    data: Option<serde_json::Value>,
}

/// The data of the training that a weights file records, if any.
///
/// # Errors
/// If the file cannot be read, or its data are not those of `experiment`.
pub fn data(path: &Path, experiment: &Experiment) -> Result<Option<TrainingData>> {
    parse_data(&read(path)?, path, experiment)
}

fn parse_data(
    file: &TensorFile,
    path: &Path,
    experiment: &Experiment,
) -> Result<Option<TrainingData>> {
    let Some(text) = file.metadata.get(DATA) else { return Ok(None) };
    let data: TrainingData = serde_json::from_str(text)
        .with_context(|| format!("{}: the metadata's `{DATA}`", path.display()))?;
    data.check(experiment, path)?;
    Ok(Some(data))
}

/// The experiment that a weights file or a checkpoint records.
///
/// # Errors
/// As [`experiment`], or if the file cannot be read.
pub fn recorded_experiment(path: &Path) -> Result<Experiment> {
    experiment(&read(path)?, path)
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
