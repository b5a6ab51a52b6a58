//! Reading the folder of a run.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, de::DeserializeOwned};

use super::names::{
    CONFIG, DEPLOYMENT, ENVIRONMENT, EPOCHS, EVALUATION, LATENCY, LOCK, MISTAKES, PROGRESS, SUMMARY,
};
use crate::calibration::{CALIBRATION_VERSION, CalibrationRecord};
use crate::configuration::Configuration;
use crate::deployment::{DEPLOY_VERSION, DeployRecord};
use crate::error::{Error, Result};
use crate::evaluation::{EVALUATION_VERSION, EvaluationRecord};
use crate::measurement::{BenchRecord, Subject};
use crate::mistakes::{MISTAKES_VERSION, MistakesRecord};
use crate::record::{Environment, EpochRecord, RunRecord, SCHEMA_VERSION, Status, legacy};

/// A run: the contents of its folder, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The folder.
    pub folder: PathBuf,
    /// The resolved configuration.
    pub config: Configuration,
    /// Hardware and software; `None` without the file.
    pub environment: Option<Environment>,
    /// The epochs in order. For epochs that a resumed run repeated, the last repetition counts.
    pub epochs: Vec<EpochRecord>,
    /// Whether `epochs.jsonl` ends in an incomplete line, which is not in `epochs`.
    pub epochs_truncated: bool,
    /// Full evaluation of the last weights on the test set; `None` without the file, as in runs of
    /// earlier versions.
    pub evaluation: Option<EvaluationRecord>,
    /// Its most confident mistakes, and duplicates; `None` without the file.
    pub mistakes: Option<MistakesRecord>,
    /// Measurements of its exports; `None` without the file.
    pub deployment: Option<DeployRecord>,
    /// Latency of each exit; `None` without the file.
    pub latency: Option<BenchRecord>,
    /// The result.
    pub summary: RunRecord,
}

impl Run {
    /// Reads the run in `folder`.
    ///
    /// # Errors
    /// If the folder is not a run, the run has not ended, or a file cannot be read, is malformed or
    /// has another schema version. Names the file and line.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        Self::read(folder, || {
            let missing = || Error::NotFinished { folder: folder.to_owned(), missing: SUMMARY };
            optional(&folder.join(SUMMARY), parse_summary)?.ok_or_else(missing)
        })
    }

    /// Reads the run in `folder`, also one that is still training or was killed, with what it has
    /// recorded so far.
    ///
    /// # Errors
    /// As [`open`](Self::open), if the run has recorded nothing yet.
    pub fn open_so_far(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        Self::read(folder, || {
            let summary = optional(&folder.join(SUMMARY), parse_summary)?;
            if let Some(summary) = &summary
                && summary.status == Status::Finished
            {
                return Ok(summary.clone());
            }
            // A resumed run is ahead of the summary of its interruption.
            let mut progress = optional(&folder.join(PROGRESS), parse_summary)?
                .or(summary)
                .ok_or(Error::NotFinished { folder: folder.to_owned(), missing: PROGRESS })?;
            if progress.status == Status::Running && !is_locked(folder) {
                progress.status = Status::Interrupted;
            }
            Ok(progress)
        })
    }

    /// Reads the run in `folder` with this summary instead of that in the folder, which a run that is
    /// still training does not have.
    ///
    /// # Errors
    /// As [`open`](Self::open), apart from the summary.
    pub fn open_with(folder: impl AsRef<Path>, summary: RunRecord) -> Result<Self> {
        Self::read(folder.as_ref(), || Ok(summary))
    }

    fn read(folder: &Path, summary: impl FnOnce() -> Result<RunRecord>) -> Result<Self> {
        // First, so that a wrong path is reported as such and not as a missing file.
        fs::read_dir(folder).map_err(Error::io(folder))?;
        let path = folder.join(CONFIG);
        let config = read(&path)?
            .ok_or_else(|| Error::NotARun { folder: folder.to_owned(), missing: CONFIG })?;
        let mut summary = summary()?;
        let config = parse_config(&path, &config)?;
        legacy::complete(&mut summary, config.settings());
        let (epochs, epochs_truncated) = read_epochs(folder.join(EPOCHS))?;
        Ok(Self {
            folder: folder.to_owned(),
            config,
            environment: read_environment(folder.join(ENVIRONMENT))?,
            epochs,
            epochs_truncated,
            evaluation: read_evaluation(folder.join(EVALUATION))?,
            mistakes: optional(&folder.join(MISTAKES), parse_mistakes)?,
            deployment: optional(&folder.join(DEPLOYMENT), parse_deployment)?,
            latency: optional(&folder.join(LATENCY), parse_latency)?,
            summary,
        })
    }
}

/// Whether a process trains in the folder.
fn is_locked(folder: &Path) -> bool {
    File::open(folder.join(LOCK))
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Reads an `environment.json`; `None` without the file.
///
/// # Errors
/// If it cannot be read or parsed.
pub fn read_environment(path: impl AsRef<Path>) -> Result<Option<Environment>> {
    optional(path.as_ref(), from_json)
}

/// Reads an `evaluation.json`; `None` without the file.
///
/// # Errors
/// If the file cannot be read, is malformed or has another schema version.
pub fn read_evaluation(path: impl AsRef<Path>) -> Result<Option<EvaluationRecord>> {
    optional(path.as_ref(), parse_evaluation)
}

/// Parses a record of this schema version that passes `check`.
fn checked<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    version: u32,
    check: fn(&T) -> std::result::Result<(), String>,
) -> Result<T> {
    check_version(path, text, version)?;
    let record = from_json(path, text)?;
    let wrong = |what| Error::Record { path: path.to_owned(), line: 1, what };
    check(&record).map_err(wrong)?;
    Ok(record)
}

/// Parses an evaluation.
pub(crate) fn parse_evaluation(path: &Path, text: &str) -> Result<EvaluationRecord> {
    checked(path, text, EVALUATION_VERSION, EvaluationRecord::check)
}

/// Reads a `calibration.json`; `None` without the file.
///
/// # Errors
/// If the file cannot be read, is malformed or has another schema version.
pub fn read_calibration(path: impl AsRef<Path>) -> Result<Option<CalibrationRecord>> {
    optional(path.as_ref(), parse_calibration)
}

/// Parses ranges.
pub(crate) fn parse_calibration(path: &Path, text: &str) -> Result<CalibrationRecord> {
    checked(path, text, CALIBRATION_VERSION, CalibrationRecord::check)
}

/// Parses mistakes and duplicates.
pub(crate) fn parse_mistakes(path: &Path, text: &str) -> Result<MistakesRecord> {
    checked(path, text, MISTAKES_VERSION, MistakesRecord::check)
}

/// Parses measurements.
pub(crate) fn parse_deployment(path: &Path, text: &str) -> Result<DeployRecord> {
    check_version(path, text, DEPLOY_VERSION)?;
    from_json(path, text)
}

/// Parses measurements.
pub(crate) fn parse_latency(path: &Path, text: &str) -> Result<BenchRecord> {
    check_version(path, text, SCHEMA_VERSION)?;
    let latency: BenchRecord = from_json(path, text)?;
    if latency.subject != Subject::Infer {
        let what = format!("found subject {}, expected infer", latency.subject.name());
        return Err(Error::Record { path: path.to_owned(), line: 1, what });
    }
    Ok(latency)
}

/// Reads `epochs.jsonl`, even while it is being written. Returns the epochs, and whether the file ends
/// in an incomplete line. Without the file there are no epochs.
///
/// # Errors
/// If the file cannot be read, or a complete line is not an epoch.
pub fn read_epochs(path: impl AsRef<Path>) -> Result<(Vec<EpochRecord>, bool)> {
    let path = path.as_ref();
    parse_epochs(path, &read(path)?.unwrap_or_default())
}

/// Parses epochs. Returns also whether the text ends in an incomplete line.
pub(crate) fn parse_epochs(path: &Path, text: &str) -> Result<(Vec<EpochRecord>, bool)> {
    let mut epochs: Vec<EpochRecord> = Vec::new();
    let mut truncated = false;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if !line.ends_with('\n') {
            truncated = true;
        } else if !line.trim().is_empty() {
            let epoch: EpochRecord = serde_json::from_str(line)
                .map_err(|source| record_error(path, index + 1, &source))?;
            // A run resumed from an older checkpoint repeats epochs.
            epochs.retain(|earlier| earlier.epoch < epoch.epoch);
            epochs.push(epoch);
        }
    }
    Ok((epochs, truncated))
}

/// Reads and parses a file; `None` without the file.
fn optional<T>(path: &Path, parse: impl Fn(&Path, &str) -> Result<T>) -> Result<Option<T>> {
    read(path)?.map(|text| parse(path, &text)).transpose()
}

/// The text of a file; `None` without the file.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}

fn parse_config(path: &Path, text: &str) -> Result<Configuration> {
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        Error::Record { path: path.to_owned(), line, what: error.message().to_owned() }
    })
}

/// Parses the result of a run.
pub(crate) fn parse_summary(path: &Path, text: &str) -> Result<RunRecord> {
    check_version(path, text, SCHEMA_VERSION)?;
    from_json(path, text)
}

/// Checked before the rest is parsed, which would report another version as malformed.
fn check_version(path: &Path, text: &str, expected: u32) -> Result<()> {
    #[derive(Deserialize)]
    struct Version {
        schema_version: u64,
    }
    let Version { schema_version: found } = from_json(path, text)?;
    if found != u64::from(expected) {
        return Err(Error::Schema { path: path.to_owned(), found, expected });
    }
    Ok(())
}

fn from_json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|source| record_error(path, source.line(), &source))
}

fn record_error(path: &Path, line: usize, source: &serde_json::Error) -> Error {
    // serde_json counts lines within the given text, so that only the column is useful.
    let what = source.to_string();
    let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
    let what = format!("{what}, at column {}", source.column());
    Error::Record { path: path.to_owned(), line, what }
}
