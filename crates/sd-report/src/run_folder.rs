//! A run's folder: the names of its files, reading it, and writing into it so that a crash
//! leaves no half of anything.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::configuration::Configuration;
use crate::deployment::{DEPLOY_VERSION, DeployRecord};
use crate::error::{Error, Result};
use crate::evaluation::{EVALUATION_VERSION, EvaluationRecord};
use crate::measurement::{BenchRecord, Subject};
use crate::record::{Environment, EpochRecord, RunRecord, SCHEMA_VERSION, legacy};

/// The resolved configuration, written before the first step.
pub const CONFIG: &str = "config.toml";
/// An [`Environment`], written before the first step.
pub const ENVIRONMENT: &str = "environment.json";
/// One [`EpochRecord`] a line, appended as the epochs end.
pub const EPOCHS: &str = "epochs.jsonl";
/// The same as a table, written anew as each epoch ends.
pub const EPOCHS_CSV: &str = "epochs.csv";
/// Folder of the event files that TensorBoard reads.
pub const TENSORBOARD: &str = "tb";
/// A [`RunRecord`], written when the run ends.
pub const SUMMARY: &str = "summary.json";
/// An [`EvaluationRecord`] of the weights after the last epoch, written when the run ends and by
/// every evaluation of it on the test set.
pub const EVALUATION: &str = "evaluation.json";
/// The same of the best epoch's weights, where they were evaluated.
pub const BEST_EVALUATION: &str = "evaluation-best.json";
/// A [`DeployRecord`], written by `cargo xtask bench deploy`.
pub const DEPLOYMENT: &str = "deploy.json";
/// A [`BenchRecord`], written by `cargo xtask bench infer RUN`.
pub const LATENCY: &str = "latency.json";
/// The weights after the last epoch.
pub const MODEL: &str = "model.safetensors";
/// The weights of the epoch that validation chose.
pub const BEST_MODEL: &str = "best.safetensors";
/// What a resumed run starts from.
pub const LAST_CHECKPOINT: &str = "last.ckpt.safetensors";
/// The checkpoint before, for the case that the last is damaged.
pub const PREVIOUS_CHECKPOINT: &str = "previous.ckpt.safetensors";
/// Locked by the process that trains in the folder.
pub const LOCK: &str = ".lock";
/// The log for tools, one JSON document a line.
pub const LOG: &str = "log.jsonl";
/// The report as one page.
pub const REPORT_HTML: &str = "report.html";
/// The report as Markdown; its figures lie in [`FIGURES`].
pub const REPORT_MARKDOWN: &str = "report.md";
/// The report's numbers, a row for each run and exit.
pub const REPORT_CSV: &str = "report.csv";
/// Folder of the Markdown report's figures.
pub const FIGURES: &str = "figures";

/// The files of a run's folder that [`write_atomic`] writes.
const WRITTEN_WHOLE: [&str; 15] = [
    CONFIG,
    ENVIRONMENT,
    EPOCHS,
    EPOCHS_CSV,
    SUMMARY,
    EVALUATION,
    BEST_EVALUATION,
    DEPLOYMENT,
    LATENCY,
    MODEL,
    BEST_MODEL,
    LAST_CHECKPOINT,
    REPORT_HTML,
    REPORT_MARKDOWN,
    REPORT_CSV,
];

/// What a run's folder holds, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The folder.
    pub folder: PathBuf,
    /// The resolved configuration.
    pub config: Configuration,
    /// Where it ran; `None` if the file is not there.
    pub environment: Option<Environment>,
    /// The epochs in order. Where a resumed run repeated some, the repetition counts.
    pub epochs: Vec<EpochRecord>,
    /// Whether `epochs.jsonl` ends in half a line, which was left out of `epochs`.
    pub epochs_truncated: bool,
    /// The last weights on the test set in full; `None` if the file is not there, as in runs of
    /// earlier versions.
    pub evaluation: Option<EvaluationRecord>,
    /// Its exports, measured; `None` if the file is not there.
    pub deployment: Option<DeployRecord>,
    /// The time that each exit takes; `None` if the file is not there.
    pub latency: Option<BenchRecord>,
    /// The result.
    pub summary: RunRecord,
}

impl Run {
    /// Reads the run in `folder`.
    ///
    /// # Errors
    /// Where the folder is no run or the run has not ended, and where a file cannot be read, is
    /// malformed or was written by another version; the message names the file and line.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        // Asked for first, so that a wrong path reads as one and not as a missing file.
        fs::read_dir(folder).map_err(Error::io(folder))?;
        let path = folder.join(CONFIG);
        let config = read(&path)?
            .ok_or_else(|| Error::NotARun { folder: folder.to_owned(), missing: CONFIG })?;
        let summary = folder.join(SUMMARY);
        let text = read(&summary)?
            .ok_or_else(|| Error::NotFinished { folder: folder.to_owned(), missing: SUMMARY })?;
        let config = parse_config(&path, &config)?;
        let mut summary = parse_summary(&summary, &text)?;
        legacy::complete(&mut summary, config.settings());
        let environment = folder.join(ENVIRONMENT);
        let environment =
            read(&environment)?.map(|text| from_json(&environment, &text)).transpose()?;
        let (epochs, epochs_truncated) = read_epochs(folder.join(EPOCHS))?;
        let evaluation = read_evaluation(folder.join(EVALUATION))?;
        let deployment = read_deployment(folder.join(DEPLOYMENT))?;
        let latency = folder.join(LATENCY);
        let latency = read(&latency)?.map(|text| parse_latency(&latency, &text)).transpose()?;
        let folder = folder.to_owned();
        Ok(Self {
            folder,
            config,
            environment,
            epochs,
            epochs_truncated,
            evaluation,
            deployment,
            latency,
            summary,
        })
    }
}

/// Reads an `evaluation.json`; `None` if it is not there.
///
/// # Errors
/// Where the file cannot be read, is malformed or was written by another version.
pub fn read_evaluation(path: impl AsRef<Path>) -> Result<Option<EvaluationRecord>> {
    let path = path.as_ref();
    read(path)?.map(|text| parse_evaluation(path, &text)).transpose()
}

/// The evaluation in a text.
pub(crate) fn parse_evaluation(path: &Path, text: &str) -> Result<EvaluationRecord> {
    check_version(path, text, EVALUATION_VERSION)?;
    let evaluation: EvaluationRecord = from_json(path, text)?;
    let wrong = |what| Error::Record { path: path.to_owned(), line: 1, what };
    evaluation.check().map_err(wrong)?;
    Ok(evaluation)
}

/// Reads a `deploy.json`; `None` if it is not there.
///
/// # Errors
/// Where the file cannot be read, is malformed or was written by another version.
pub fn read_deployment(path: impl AsRef<Path>) -> Result<Option<DeployRecord>> {
    let path = path.as_ref();
    read(path)?.map(|text| parse_deployment(path, &text)).transpose()
}

/// The measurements in a text.
pub(crate) fn parse_deployment(path: &Path, text: &str) -> Result<DeployRecord> {
    check_version(path, text, DEPLOY_VERSION)?;
    from_json(path, text)
}

/// The measurements in a text.
pub(crate) fn parse_latency(path: &Path, text: &str) -> Result<BenchRecord> {
    check_version(path, text, SCHEMA_VERSION)?;
    let latency: BenchRecord = from_json(path, text)?;
    if latency.subject != Subject::Infer {
        let what = format!("found subject {}, expected infer", latency.subject.name());
        return Err(Error::Record { path: path.to_owned(), line: 1, what });
    }
    Ok(latency)
}

/// Reads `epochs.jsonl`, also while it is being written: the epochs, and whether the file ends
/// in half a line. No file is no epochs.
///
/// # Errors
/// Where the file cannot be read, or a whole line of it is not an epoch.
pub fn read_epochs(path: impl AsRef<Path>) -> Result<(Vec<EpochRecord>, bool)> {
    let path = path.as_ref();
    parse_epochs(path, &read(path)?.unwrap_or_default())
}

/// The epochs in a text, and whether it ends in half a line.
pub(crate) fn parse_epochs(path: &Path, text: &str) -> Result<(Vec<EpochRecord>, bool)> {
    let mut epochs: Vec<EpochRecord> = Vec::new();
    let mut truncated = false;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if !line.ends_with('\n') {
            truncated = true;
        } else if !line.trim().is_empty() {
            let epoch: EpochRecord = serde_json::from_str(line)
                .map_err(|source| record_error(path, index + 1, &source))?;
            // A run resumed from an older checkpoint does some epochs again.
            epochs.retain(|earlier| earlier.epoch < epoch.epoch);
            epochs.push(epoch);
        }
    }
    Ok((epochs, truncated))
}

/// Writes `value` as indented JSON to `path`: whole, or not at all.
///
/// # Errors
/// Where the file cannot be written, or the value is none that JSON can hold.
pub fn write_json_atomic(path: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
    write_text(path.as_ref(), serde_json::to_vec_pretty(value))
}

/// Writes `value` as one line of JSON to `path`: whole, or not at all. For what nobody reads, such
/// as a matrix, of which a number would be a line in [`write_json_atomic`].
///
/// # Errors
/// Where the file cannot be written, or the value is none that JSON can hold.
pub fn write_line_atomic(path: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
    write_text(path.as_ref(), serde_json::to_vec(value))
}

fn write_text(path: &Path, text: serde_json::Result<Vec<u8>>) -> Result<()> {
    let mut text = text.map_err(|source| Error::Encode { path: path.to_owned(), source })?;
    text.push(b'\n');
    write_atomic(path, &text)
}

/// Writes `bytes` to `path`, completely or not at all: to a temporary file beside it, which is synced
/// and renamed before the folder is synced. An existing file keeps its permissions.
///
/// # Errors
/// If the file cannot be written. An existing file is then unchanged.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let write = || {
        let mut file = AtomicWriteFile::open(path)?;
        file.write_all(bytes)?;
        file.commit()
    };
    write().map_err(Error::io(path))
}

/// Whether a file with this name in a run's folder is left over from a [`write_atomic`] that was
/// killed: a file of the run with a dot before its name, and a dot and six letters or digits after
/// it, such as `.summary.json.3fA9xz`.
pub fn is_unfinished(name: &str) -> bool {
    let parts = name.strip_prefix('.').and_then(|name| name.rsplit_once('.'));
    parts.is_some_and(|(name, random)| {
        let alphanumeric = random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        WRITTEN_WHOLE.contains(&name) && random.len() == 6 && alphanumeric
    })
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Puts the names of a folder's files onto the disk. Windows opens no folders.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Appends `value` as one line of JSON to `path`, which need not exist, and syncs it: a checkpoint
/// that is written next never says more than the lines. Half a line at the end, left by a crash, is
/// removed first.
///
/// # Errors
/// Where the file cannot be written, or the value is none that JSON can hold.
pub fn append_line(path: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
    let path = path.as_ref();
    let mut line = serde_json::to_vec(value)
        .map_err(|source| Error::Encode { path: path.to_owned(), source })?;
    line.push(b'\n');
    let append = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let end = end_of_whole_lines(&mut file)?;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        file.write_all(&line)?;
        file.sync_data()?;
        if end == 0 { sync_folder(folder_of(path)) } else { Ok(()) }
    };
    append().map_err(Error::io(path))
}

/// Length of the file up to and with its last newline.
fn end_of_whole_lines(file: &mut File) -> std::io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok(0);
    }
    file.seek(SeekFrom::Start(length - 1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(length);
    }
    let mut whole = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut whole)?;
    Ok(whole.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at as u64 + 1))
}

/// The text of a file; `None` if it is not there.
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

/// The result of a run.
pub(crate) fn parse_summary(path: &Path, text: &str) -> Result<RunRecord> {
    check_version(path, text, SCHEMA_VERSION)?;
    from_json(path, text)
}

/// Before the rest is read: another version's record would be called malformed.
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
    // serde_json counts lines within the text that it was given; the column is what helps.
    let what = source.to_string();
    let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
    let what = format!("{what}, at column {}", source.column());
    Error::Record { path: path.to_owned(), line, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_replaces_the_old_one_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_json_atomic(&path, &[1, 2]).unwrap();
        write_json_atomic(&path, &[3]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  3\n]\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_killed_write_leaves_a_file_that_is_known_as_unfinished() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name| AtomicWriteFile::open(folder.path().join(name)).unwrap();
        let unfinished = [open(SUMMARY), open(LAST_CHECKPOINT)];
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap())
        };
        assert_eq!(names().filter(|name| is_unfinished(name)).count(), unfinished.len());
        for name in [SUMMARY, LOCK, ".notes.backup", ".summary.json.swp", ".summary.json."] {
            assert!(!is_unfinished(name), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [whole, plain] = ["a", "b"].map(|name| folder.path().join(name));
        write_atomic(&whole, b"").unwrap();
        fs::write(&plain, b"").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(whole), mode(plain));
    }

    #[test]
    fn appending_drops_half_a_line_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        append_line(&path, &1).unwrap();
        append_line(&path, &2).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"epo").unwrap();
        append_line(&path, &3).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n3\n");
        fs::write(&path, "half").unwrap();
        append_line(&path, &4).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "4\n");
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("a.json");
        let message = write_json_atomic(&path, &0).unwrap_err().to_string();
        assert!(message.contains("a.json"), "{message}");
    }
}
