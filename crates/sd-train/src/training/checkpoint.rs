//! The state of a run between two steps, in one file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sd_cli::config_difference::first_difference;
use sd_models::TensorFile;
use sd_report::run_folder::{LAST_CHECKPOINT, PREVIOUS_CHECKPOINT, write_atomic_keeping};
use serde::{Deserialize, Serialize};
use tch::Tensor;
use toml::Table;

use super::StepStats;
use crate::evaluation::TrainingData;
use crate::evaluation::meter::Counts;
use crate::experiment::fingerprint::Fingerprint;

/// Consecutive skipped steps after which the run fails.
const MAX_SKIPPED: u64 = 16;

/// Format of the file; another one is refused.
const VERSION: u32 = 4;

/// Position of a run, apart from its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Version of the format.
    pub version: u32,
    /// The resolved configuration, as TOML.
    pub config: String,
    /// The images and their classes.
    pub images: Fingerprint,
    /// The data of the training, as its weights record it; `None` in checkpoints of versions that
    /// did not.
    #[serde(default)]
    pub data: Option<TrainingData>,
    /// Checksum of the trained network that teaches, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<u32>,
    /// Finished epochs.
    pub epoch: u64,
    /// Steps taken within the current epoch.
    pub step_in_epoch: usize,
    /// Counts of those steps.
    pub counts: Counts,
    /// Number of steps before the next that were skipped one after the other.
    #[serde(default)]
    pub skipped_in_a_row: u64,
    /// Seconds of training so far within this epoch.
    pub epoch_seconds: f64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// The best epoch on the validation split so far.
    pub best: Option<Best>,
}

/// An epoch, and accuracy and loss of the deepest exit on the validation split after it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Top-1 accuracy, 0 to 1.
    pub valid_top1: f64,
    /// Loss; `None` in checkpoints of versions that did not compare it.
    #[serde(default)]
    pub valid_loss: Option<f64>,
}

impl Best {
    /// Whether it is better than `other`: more accurate, or as accurate with a lower loss.
    pub fn is_better_than(&self, other: &Self) -> bool {
        let lower_loss = self.valid_loss.zip(other.valid_loss).is_some_and(|(one, two)| one < two);
        self.valid_top1 > other.valid_top1 || (self.valid_top1 == other.valid_top1 && lower_loss)
    }
}

impl Position {
    /// The start of a run.
    pub fn start(config: String, images: Fingerprint) -> Self {
        Self {
            version: VERSION,
            config,
            images,
            data: None,
            teacher: None,
            epoch: 0,
            step_in_epoch: 0,
            counts: Counts::default(),
            skipped_in_a_row: 0,
            epoch_seconds: 0.0,
            seconds: 0.0,
            best: None,
        }
    }

    /// Describes the difference between the teachers of two runs.
    pub fn difference_of_teachers(&self, now: &Self) -> Option<String> {
        let checksum = |teacher: Option<u32>| {
            teacher.map_or_else(|| "none".to_owned(), |checksum| format!("checksum {checksum:08x}"))
        };
        let [then, now] = [self.teacher, now.teacher].map(checksum);
        (then != now).then(|| format!("{then} then, {now} now"))
    }

    /// Moves to the next step.
    ///
    /// # Errors
    /// If too many steps in a row were skipped.
    pub fn next_step(&mut self, stats: &StepStats) -> Result<()> {
        self.step_in_epoch += 1;
        let before = self.skipped_in_a_row;
        self.skipped_in_a_row = if stats.skipped { before.saturating_add(1) } else { 0 };
        ensure!(
            self.skipped_in_a_row < MAX_SKIPPED,
            "{MAX_SKIPPED} steps in a row are skipped, up to step {}: training makes no progress",
            stats.step
        );
        Ok(())
    }

    /// Moves to the next epoch.
    pub fn next_epoch(&mut self, best: Option<Best>) {
        self.epoch += 1;
        self.step_in_epoch = 0;
        self.counts = Counts::default();
        self.seconds += self.epoch_seconds;
        self.epoch_seconds = 0.0;
        self.best = best;
    }

    /// Checks the position in a run of `epochs` epochs of `steps` steps of `images` images each.
    ///
    /// # Errors
    /// Names the number that is out of range.
    pub fn check(&self, epochs: u64, steps: usize, images: usize) -> Result<()> {
        let Self { epoch, step_in_epoch, counts, best, .. } = self;
        ensure!(
            *epoch <= epochs && *step_in_epoch <= steps,
            "the checkpoint is from epoch {epoch}, step {step_in_epoch}; the run has {epochs} \
             epochs of {steps} steps"
        );
        // Fewer if steps were skipped.
        let max_images = *step_in_epoch as u64 * images as u64;
        ensure!(
            counts.images() <= max_images,
            "the checkpoint counts {} images in step {step_in_epoch}, expected at most {max_images}",
            counts.images()
        );
        ensure!(
            best.is_none_or(|best| best.epoch <= *epoch),
            "the checkpoint's best epoch is later than its epoch {epoch}"
        );
        Ok(())
    }
}

/// Named tensors of a run, in groups.
#[derive(Debug, Default)]
pub struct CheckpointTensors(BTreeMap<String, Tensor>);

impl CheckpointTensors {
    /// Adds a group of tensors, which are shared and not copied.
    #[must_use]
    pub fn with(mut self, group: &str, tensors: BTreeMap<String, Tensor>) -> Self {
        let named = |(name, tensor)| (format!("{group}.{name}"), tensor);
        self.0.extend(tensors.into_iter().map(named));
        self
    }

    /// All tensors with their names.
    pub fn named(&self) -> impl Iterator<Item = (&String, &Tensor)> {
        self.0.iter()
    }

    /// All tensors.
    pub fn iter(&self) -> impl Iterator<Item = &Tensor> {
        self.0.values()
    }
}

/// Writes position and tensors into the run's folder atomically. The last checkpoint becomes the
/// previous one.
///
/// # Errors
/// If the file cannot be written; the last checkpoint stays.
pub fn save(folder: &Path, position: &Position, tensors: &CheckpointTensors) -> Result<()> {
    let metadata = [("position".to_owned(), serde_json::to_string(position)?)];
    let tensor = |(name, tensor): (&String, &Tensor)| (name.clone(), tensor.shallow_clone());
    let tensors = tensors.0.iter().map(tensor).collect();
    let file = TensorFile { tensors, metadata: metadata.into() };
    let bytes = file.to_bytes()?;
    let [last, previous] = [LAST_CHECKPOINT, PREVIOUS_CHECKPOINT].map(|name| folder.join(name));
    Ok(write_atomic_keeping(last, previous, &bytes)?)
}

/// Whether the folder holds a checkpoint.
pub fn exists(folder: &Path) -> bool {
    [LAST_CHECKPOINT, PREVIOUS_CHECKPOINT].iter().any(|name| folder.join(name).is_file())
}

/// Reads the last checkpoint of the run in `folder` into `tensors`; if it is damaged or missing, logs
/// that and reads the previous one.
///
/// `start` is the position at which the run begins.
///
/// # Errors
/// If no checkpoint is complete, or it has another version, configuration or data set.
pub fn load(folder: &Path, start: &Position, tensors: &CheckpointTensors) -> Result<Position> {
    let (path, file) = newest(folder)?;
    let text = file.metadata.get("position").with_context(|| {
        format!("{}: not a checkpoint: the metadata has no `position`", path.display())
    })?;
    let version: Versioned = serde_json::from_str(text)
        .with_context(|| format!("{}: the position cannot be read", path.display()))?;
    ensure!(
        version.version == VERSION,
        "{}: checkpoint version {}, expected {VERSION}",
        path.display(),
        version.version
    );
    let mut position: Position = serde_json::from_str(text)
        .with_context(|| format!("{}: the position cannot be read", path.display()))?;
    let mut then = position.config.parse().with_context(|| path.display().to_string())?;
    let now = start.config.parse()?;
    allow_more_epochs(&mut then, &now).with_context(|| path.display().to_string())?;
    if let Some(difference) = first_difference(&then, &now) {
        bail!("{}: checkpoint of another configuration: {difference}", path.display());
    }
    if let Some(difference) = position.images.difference(&start.images) {
        bail!("{}: checkpoint of another data set: {difference}", path.display());
    }
    if let Some(difference) = position.difference_of_teachers(start) {
        bail!("{}: checkpoint of another teacher: {difference}", path.display());
    }
    position.data.clone_from(&start.data);
    position.config.clone_from(&start.config);
    file.copy_into(&tensors.0, &path)?;
    let last = folder.join(LAST_CHECKPOINT);
    if path != last {
        // The next checkpoint must not push this one out in favour of the damaged one.
        fs::rename(&path, &last).with_context(|| last.display().to_string())?;
    }
    Ok(position)
}

/// Sets `train.epochs` of the earlier configuration to the number now, if a run can be trained longer:
/// a rate, and a weight of the loss, that depend on the share of the epochs done would have been
/// others.
///
/// # Errors
/// If there are more epochs now and such a rate or weight.
fn allow_more_epochs(then: &mut Table, now: &Table) -> Result<()> {
    let section = |table: &Table, key: &str| table.get(key)?.as_table().cloned();
    let epochs = |table: &Table| section(table, "train")?.get("epochs")?.as_integer();
    let (Some(before), Some(after)) = (epochs(then), epochs(now)) else { return Ok(()) };
    if after <= before {
        return Ok(());
    }
    let steps = section(now, "train").and_then(|train| section(&train, "schedule"));
    let constant = steps.is_some_and(|schedule| schedule.contains_key("step"))
        && section(now, "objective").is_none_or(|objective| !objective.contains_key("ps_kd"));
    ensure!(
        constant,
        "checkpoint of another configuration: `train.epochs = {before}` then, `train.epochs = {after}` \
         now. Only a run with `train.schedule.step`, and without the objective `ps_kd`, can be resumed \
         with more epochs. To train on, start a new run from the weights of this one: `-s name=NEW -s \
         'train.pretrained={{ file = \"RUN\", from = \"run\", exits = true }}'`"
    );
    if let Some(train) = then.get_mut("train").and_then(toml::Value::as_table_mut) {
        train.insert("epochs".to_owned(), after.into());
    }
    Ok(())
}

/// Read first: the position of another version may not parse.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads the newest complete checkpoint.
fn newest(folder: &Path) -> Result<(PathBuf, TensorFile)> {
    let (last, previous) = (folder.join(LAST_CHECKPOINT), folder.join(PREVIOUS_CHECKPOINT));
    match TensorFile::read(&last) {
        Ok(file) => Ok((last, file)),
        Err(damage) if previous.is_file() => {
            tracing::warn!("{damage}; using the previous checkpoint");
            let file = TensorFile::read(&previous)?;
            Ok((previous, file))
        }
        Err(damage) => Err(damage.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equally_accurate_epochs_the_one_with_the_lower_loss_is_better() {
        let of = |valid_top1, valid_loss| Best { epoch: 1, valid_top1, valid_loss };
        let best = of(0.5, Some(1.0));
        assert!(of(0.6, Some(2.0)).is_better_than(&best));
        assert!(!of(0.4, Some(0.5)).is_better_than(&best));
        assert!(of(0.5, Some(0.9)).is_better_than(&best));
        assert!(!of(0.5, Some(1.0)).is_better_than(&best));
        assert!(!of(0.5, Some(1.1)).is_better_than(&best));
        // Of a checkpoint that records no loss, the earlier epoch stays.
        assert!(!of(0.5, Some(0.1)).is_better_than(&of(0.5, None)));
    }
}
