//! How far a run is, read from its folder.

use super::matrix::Planned;
use super::setting::ASKED;
use anyhow::{Context, Result, bail};
use sd_cli::config_difference::{Difference, first_difference};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What a run goes on from. A run that was killed while it wrote the last has only the one before.
const CHECKPOINTS: [&str; 2] = ["last.ckpt.safetensors", "previous.ckpt.safetensors"];

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub stage: Stage,
    /// Seconds of training of each finished epoch.
    pub seconds: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is there to go on from.
    New,
    /// There is a checkpoint.
    Begun,
    /// Its summary says so.
    Finished,
}

impl State {
    /// The state of `run`. A folder that holds a run of another configuration is an error: its
    /// result would pass for this one's.
    pub fn of(run: &Planned) -> Result<Self> {
        let folder = &run.folder;
        let stage = if finished(&folder.join("summary.json"))? {
            Stage::Finished
        } else if CHECKPOINTS.iter().any(|name| folder.join(name).is_file()) {
            Stage::Begun
        } else {
            Stage::New
        };
        if stage != Stage::New {
            check_asked(run)?;
        }
        Ok(Self { stage, seconds: epochs(&folder.join("epochs.jsonl"))? })
    }
}

fn check_asked(run: &Planned) -> Result<()> {
    let folder = run.folder.display();
    let Some(text) = read(&run.folder.join(ASKED))? else {
        bail!(
            "{folder} holds a run that no sweep started (no {ASKED}): move it away, or choose \
             another `out`"
        );
    };
    let asked = toml::from_str(&text).with_context(|| format!("{folder}/{ASKED}"))?;
    if let Some(Difference { key, then, now }) = first_difference(&asked, &run.setting) {
        let text =
            |value: Option<toml::Value>| value.map_or("not there".to_owned(), |v| v.to_string());
        bail!(
            "{folder} holds a run of another configuration: {key} is {} there, {} here; move it \
             away, or give the row another `name`",
            text(then),
            text(now)
        );
    }
    Ok(())
}

/// Whether a summary is there and says that its run has finished.
fn finished(path: &Path) -> Result<bool> {
    let Some(text) = read(path)? else { return Ok(false) };
    let summary: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(summary["status"] == "finished")
}

/// Seconds of each epoch. Half a last line, and what a resumed run has done again, do not count.
fn epochs(path: &Path) -> Result<Vec<f64>> {
    let text = read(path)?.unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let seconds: BTreeMap<u64, f64> = lines
        .filter_map(|epoch| Some((epoch["epoch"].as_u64()?, epoch["seconds"].as_f64()?)))
        .collect();
    Ok(seconds.into_values().collect())
}

/// The text of a file; `None` if it is not there.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
