//! Writing files so that a crash leaves no half of one.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use atomic_write_file::AtomicWriteFile;
use serde::Serialize;

use super::names::{
    BEST_CALIBRATION, BEST_EVALUATION, BEST_MODEL, CALIBRATION, CONFIG, DEPLOYMENT, ENVIRONMENT,
    EPOCHS, EPOCHS_CSV, EVALUATION, LAST_CHECKPOINT, LATENCY, MISTAKES, MODEL, PER_IMAGE, PROGRESS,
    REPORT_CSV, REPORT_HTML, REPORT_MARKDOWN, SUMMARY,
};
use crate::error::{Error, Result};

/// The files of a run's folder that [`write_atomic`] writes.
const WRITTEN_WHOLE: [&str; 20] = [
    CONFIG,
    ENVIRONMENT,
    EPOCHS,
    EPOCHS_CSV,
    SUMMARY,
    PROGRESS,
    EVALUATION,
    BEST_EVALUATION,
    CALIBRATION,
    BEST_CALIBRATION,
    DEPLOYMENT,
    LATENCY,
    MISTAKES,
    PER_IMAGE,
    MODEL,
    BEST_MODEL,
    LAST_CHECKPOINT,
    REPORT_HTML,
    REPORT_MARKDOWN,
    REPORT_CSV,
];

/// Writes `value` as indented JSON to `path`, see [`write_atomic`].
///
/// # Errors
/// If the file cannot be written, or the value cannot be encoded as JSON.
pub fn write_json_atomic(path: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
    write_text(path.as_ref(), serde_json::to_vec_pretty(value))
}

/// Writes `value` as one line of JSON to `path`, see [`write_atomic`]. For large records that nobody
/// reads.
///
/// # Errors
/// If the file cannot be written, or the value cannot be encoded as JSON.
pub fn write_line_atomic(path: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
    write_text(path.as_ref(), serde_json::to_vec(value))
}

fn write_text(path: &Path, text: serde_json::Result<Vec<u8>>) -> Result<()> {
    let mut text = text.map_err(|cause| Error::Encode { path: path.to_owned(), cause })?;
    text.push(b'\n');
    write_atomic(path, &text)
}

/// Writes `bytes` to `path`, completely or not at all: to a temporary file beside it, which is synced
/// and renamed before the folder is synced. An existing file keeps its permissions.
///
/// # Errors
/// If the file cannot be written. An existing file is then unchanged.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_then(path.as_ref(), bytes, || Ok(()))
}

/// As [`write_atomic`]; an existing file becomes `previous` once the new one is complete on disk.
///
/// # Errors
/// If the file cannot be written or renamed. The existing file is then unchanged, or is `previous`.
pub fn write_atomic_keeping(
    path: impl AsRef<Path>,
    previous: impl AsRef<Path>,
    bytes: &[u8],
) -> Result<()> {
    let path = path.as_ref();
    write_then(path, bytes, || if path.exists() { std::fs::rename(path, previous) } else { Ok(()) })
}

/// Writes a temporary file, calls `before_rename`, and renames the file to `path`.
fn write_then(
    path: &Path,
    bytes: &[u8],
    before_rename: impl FnOnce() -> std::io::Result<()>,
) -> Result<()> {
    let write = || {
        let mut file = AtomicWriteFile::open(path)?;
        file.write_all(bytes)?;
        // If the sync within `commit` failed, the temporary file would stay.
        file.sync_all()?;
        before_rename()?;
        file.commit()
    };
    write().map_err(Error::io(path))
}

/// The name of the file that a [`write_atomic`] was writing when it was killed, from that of the
/// temporary file that it left: `summary.json` from `.summary.json.3fA9xz`. `None` for other names.
pub fn unfinished_name(name: &str) -> Option<&str> {
    let (name, random) = name.strip_prefix('.')?.rsplit_once('.')?;
    let is_random = random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_random.then_some(name)
}

/// Whether a file with this name in a run's folder is left over from a [`write_atomic`] of one of
/// the run's files that was killed.
pub fn is_unfinished(name: &str) -> bool {
    unfinished_name(name).is_some_and(|name| WRITTEN_WHOLE.contains(&name))
}

/// The folder of a file.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Syncs the entries of a folder to disk. Windows cannot open folders.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Appends `value` as one line of JSON to `path`, creating it if needed, and syncs it, so that a later
/// checkpoint is never ahead of the lines. Removes an incomplete last line, left by a crash, first.
///
/// # Errors
/// If the file cannot be written, or the value cannot be encoded as JSON.
pub fn append_line(path: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
    let path = path.as_ref();
    let mut line = serde_json::to_vec(value)
        .map_err(|cause| Error::Encode { path: path.to_owned(), cause })?;
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

/// Length of the file up to and including its last newline.
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::names::LOCK;
    use super::*;

    #[test]
    fn a_write_replaces_the_file_and_leaves_no_other() {
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
    fn appending_removes_an_incomplete_line_first() {
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
