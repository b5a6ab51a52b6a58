//! Progress of a run, read from its folder.

use super::plan::PlannedRun;
use super::requested;
use anyhow::{Context, Result, bail};
use sd_cli::config_difference::{Difference, first_difference};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Checkpoints. A run that was killed while it wrote the last has only the previous one.
const CHECKPOINTS: [&str; 2] = ["last.ckpt.safetensors", "previous.ckpt.safetensors"];

/// Progress of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub stage: Stage,
    /// Training time of each finished epoch, in seconds.
    pub seconds: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// There is no checkpoint.
    New,
    /// There is a checkpoint.
    Begun,
    /// The status in its summary is `finished`.
    Finished,
}

impl State {
    /// Reads the state of a run.
    ///
    /// # Errors
    /// If the folder contains a run of another configuration, whose result would be mistaken for
    /// this one's.
    pub fn read(run: &PlannedRun) -> Result<Self> {
        let folder = &run.folder;
        let stage = if finished(&folder.join("summary.json"))? {
            Stage::Finished
        } else if CHECKPOINTS.iter().any(|name| folder.join(name).is_file()) {
            Stage::Begun
        } else {
            Stage::New
        };
        if stage != Stage::New {
            check_requested(run)?;
        }
        Ok(Self { stage, seconds: epochs(&folder.join("epochs.jsonl"))? })
    }
}

fn check_requested(run: &PlannedRun) -> Result<()> {
    let folder = run.folder.display();
    let Some(text) = read(&run.folder.join(requested::FILE))? else {
        bail!(
            "{folder} holds a run that no sweep started (no {}): move it away, or choose \
             another `out`",
            requested::FILE
        );
    };
    let stored = toml::from_str(&text).with_context(|| format!("{folder}/{}", requested::FILE))?;
    if let Some(Difference { key, then, now }) = first_difference(&stored, &run.requested) {
        let text = |value: Option<toml::Value>| {
            value.map_or("missing".to_owned(), |value| value.to_string())
        };
        bail!(
            "{folder} holds a run of another configuration: {key} is {} there, {} here; move it \
             away, or give the row another `name`",
            text(then),
            text(now)
        );
    }
    Ok(())
}

/// Whether the summary exists and its status is `finished`.
fn finished(path: &Path) -> Result<bool> {
    let Some(text) = read(path)? else { return Ok(false) };
    let summary: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(summary["status"] == "finished")
}

/// Training time of each epoch, in seconds. Ignores an incomplete last line; of an epoch that was
/// trained again after resuming, the last time counts.
fn epochs(path: &Path) -> Result<Vec<f64>> {
    let text = read(path)?.unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let seconds: BTreeMap<u64, f64> = lines
        .filter_map(|epoch| Some((epoch["epoch"].as_u64()?, epoch["seconds"].as_f64()?)))
        .collect();
    Ok(seconds.into_values().collect())
}

/// Text of a file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
