//! The state of a run between two steps, in one file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sd_models::TensorFile;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::difference::first_difference;
use crate::meter::Counts;

/// Format of the file; another one is refused.
const VERSION: u32 = 2;

/// Where a run stands, apart from its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Version of the format.
    pub version: u32,
    /// The resolved configuration, as TOML.
    pub config: String,
    /// Epochs finished.
    pub epoch: u64,
    /// Steps taken within the epoch that is not finished.
    pub step_in_epoch: usize,
    /// What those steps counted.
    pub counts: Counts,
    /// Seconds of training so far within this epoch.
    pub epoch_seconds: f64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// The best epoch on the validation split so far.
    pub best: Option<Best>,
}

/// An epoch, and what the deepest exit scored on the validation split after it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Top-1 accuracy, 0 to 1.
    pub valid_top1: f64,
}

impl Position {
    /// The start of a run.
    pub fn start(config: String) -> Self {
        Self {
            version: VERSION,
            config,
            epoch: 0,
            step_in_epoch: 0,
            counts: Counts::default(),
            epoch_seconds: 0.0,
            seconds: 0.0,
            best: None,
        }
    }
}

/// Writes position, `weights` and `momentum` to `path`, whole or not at all.
///
/// # Errors
/// If the file cannot be written; the one before it stays.
pub fn save(
    path: &Path,
    position: &Position,
    weights: &BTreeMap<String, Tensor>,
    momentum: &BTreeMap<String, Tensor>,
) -> Result<()> {
    let metadata = [("position".to_owned(), serde_json::to_string(position)?)];
    let file = TensorFile { tensors: joined(weights, momentum), metadata: metadata.into() };
    Ok(file.write(path)?)
}

/// Reads a checkpoint into `weights` and `momentum`.
///
/// # Errors
/// If the file is damaged, of another version or of another configuration than `config`.
pub fn load(
    path: &Path,
    config: &str,
    weights: &BTreeMap<String, Tensor>,
    momentum: &BTreeMap<String, Tensor>,
) -> Result<Position> {
    let file = TensorFile::read(path)?;
    let text = file
        .metadata
        .get("position")
        .with_context(|| format!("{}: no checkpoint of a run", path.display()))?;
    let position: Position = serde_json::from_str(text)
        .with_context(|| format!("{}: the position cannot be read", path.display()))?;
    ensure!(
        position.version == VERSION,
        "{}: checkpoint version {}, expected {VERSION}",
        path.display(),
        position.version
    );
    let then = position.config.parse().with_context(|| path.display().to_string())?;
    let now = config.parse()?;
    if let Some(difference) = first_difference(&then, &now) {
        bail!("{}: checkpoint of another configuration: {difference}", path.display());
    }
    file.copy_into(&joined(weights, momentum), path)?;
    Ok(position)
}

fn joined(
    weights: &BTreeMap<String, Tensor>,
    momentum: &BTreeMap<String, Tensor>,
) -> BTreeMap<String, Tensor> {
    let named = |prefix: &'static str, tensors: &BTreeMap<String, Tensor>| {
        let entry = move |(name, tensor): (&String, &Tensor)| {
            (format!("{prefix}.{name}"), tensor.shallow_clone())
        };
        tensors.iter().map(entry).collect::<Vec<_>>()
    };
    named("weights", weights).into_iter().chain(named("momentum", momentum)).collect()
}
