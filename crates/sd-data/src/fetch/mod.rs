//! Downloads of the published data sets (cargo feature `fetch`).
//!
//! A [`Recipe`] lists the files of a data set with their sizes and checksums, and the [`Source`]s to
//! try in order. A file is written with the suffix `.part`, verified, synced and renamed, so that a
//! file under its own name is complete. Existing files are never replaced, and kept parts only by a
//! verified file: if a part cannot be resumed, the file is downloaded beside it. One process at a
//! time downloads a data set; others wait.

mod checksum;
mod http;
mod recipe;

pub use recipe::{Recipe, RemoteFile, Source, Unpacked, published};

use crate::dataset::open_regular;
use crate::{Error, Result};
use http::{Download, Outcome, length};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// State of a data set in the data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// No files.
    Absent,
    /// Some of the files, with correct checksums.
    Partly,
    /// All files, with correct checksums.
    Complete,
    /// The complete unpacked archive, whose files have no published checksums.
    Unpacked,
    /// A file with a wrong checksum.
    Different(PathBuf),
}

/// Looks up and verifies a data set in `data_dir`.
///
/// # Errors
/// If a file cannot be read.
pub fn presence(recipe: &Recipe, data_dir: &Path) -> Result<Presence> {
    if recipe.is_unpacked(data_dir) {
        return Ok(Presence::Unpacked);
    }
    match missing(recipe, data_dir) {
        Ok(missing) if missing.is_empty() => Ok(Presence::Complete),
        Ok(missing) if missing.len() < recipe.files.len() => Ok(Presence::Partly),
        Ok(_) => Ok(Presence::Absent),
        Err(Error::Checksum { path, .. }) => Ok(Presence::Different(path)),
        Err(error) => Err(error),
    }
}

/// Downloads a data set into `data_dir` from the first source that works. `progress` receives a line
/// of text at each step.
///
/// # Errors
/// If every source fails (the message lists the reasons and what to do), an existing file has a wrong
/// checksum, or a file cannot be written.
pub fn fetch(recipe: &Recipe, data_dir: &Path, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let _lock = lock(recipe, data_dir, progress)?;
    if recipe.is_unpacked(data_dir) {
        progress(&format!("{} is there already, unpacked", recipe.title));
        return Ok(());
    }
    let mut missing = missing(recipe, data_dir)?;
    let folder = recipe.folder(data_dir);
    fs::create_dir_all(&folder).map_err(write_error(&folder))?;
    let mut reasons = Vec::new();
    for source in &recipe.sources {
        match fetch_from(source, &folder, &missing, progress) {
            Ok(()) => {}
            // No other source helps if files cannot be written.
            Err(error @ Error::Write { .. }) => return Err(error),
            Err(error) => {
                progress(&error.to_string());
                reasons.push(error.to_string());
            }
        }
        missing.retain(|file| !folder.join(&file.name).is_file());
        if missing.is_empty() {
            break;
        }
    }
    if !missing.is_empty() {
        let advice = format!("{} in `{}`", recipe.advice, folder.display());
        return Err(Error::Fetch { name: recipe.title.clone(), reasons, advice });
    }
    for (name, text) in &recipe.texts {
        let path = folder.join(name);
        if !path.exists() {
            let part = with_suffix(&path, "part");
            fs::write(&part, text).map_err(write_error(&part))?;
            sync_and_rename(&part, &path)?;
        }
    }
    progress(&format!("{} is in `{}`", recipe.title, folder.display()));
    Ok(())
}

/// The missing files. Existing ones must have the published checksums.
fn missing<'a>(recipe: &'a Recipe, data_dir: &Path) -> Result<Vec<&'a RemoteFile>> {
    let mut missing = Vec::new();
    for file in &recipe.files {
        let path = recipe.folder(data_dir).join(&file.name);
        if !path.is_file() {
            missing.push(file);
        } else if let Some((found, expected)) = file.difference(&path)? {
            let advice = "move it away to fetch it again".to_owned();
            return Err(Error::Checksum { path, found, expected, advice });
        }
    }
    Ok(missing)
}

/// Keeps other processes from downloading the same data set until the file is dropped.
fn lock(recipe: &Recipe, data_dir: &Path, progress: &mut dyn FnMut(&str)) -> Result<File> {
    fs::create_dir_all(data_dir).map_err(write_error(data_dir))?;
    let path = data_dir.join(format!(".{}.lock", recipe.name));
    let file = File::create(&path).map_err(write_error(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress(&format!("waiting for another process that fetches {}", recipe.title));
            file.lock().map_err(write_error(&path))?;
        }
        Err(TryLockError::Error(error)) => return Err(write_error(&path)(error)),
    }
    Ok(file)
}

fn fetch_from(
    source: &Source,
    folder: &Path,
    files: &[&RemoteFile],
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    for file in files {
        let path = folder.join(&file.name);
        match source {
            Source::Folder(origin) => {
                let new = with_suffix(&path, "new");
                let copied = copy(&origin.join(&file.name), &new, file.max_bytes, progress);
                adopt(file, copied, &new, &path)?;
            }
            Source::Http(base) => {
                let address = format!("{}/{}", base.trim_end_matches('/'), file.name);
                download(file, &address, &path, progress)?;
            }
        }
        let part = with_suffix(&path, "part");
        if part.exists() {
            fs::remove_file(&part).map_err(write_error(&part))?;
        }
    }
    Ok(())
}

/// Downloads a file, if possible from where an earlier download broke off.
fn download(
    file: &RemoteFile,
    address: &str,
    path: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    let (part, new) = (with_suffix(path, "part"), with_suffix(path, "new"));
    let max_bytes = file.max_bytes;
    let kept = length(&part);
    if kept == 0 {
        Download { address, to: &part, max_bytes, keep: false }.run(progress)?;
        return adopt(file, Ok(()), &part, path);
    }
    let outcome = Download { address, to: &part, max_bytes, keep: true }.run(progress)?;
    if outcome == Outcome::Complete {
        if file.difference(&part)?.is_none() {
            return sync_and_rename(&part, path);
        }
        let resumed = File::options().write(true).open(&part);
        resumed.and_then(|resumed| resumed.set_len(kept)).map_err(write_error(&part))?;
    }
    progress(&format!("{address}: not resumed after {kept} bytes; starting over"));
    let whole = Download { address, to: &new, max_bytes, keep: false }.run(progress);
    adopt(file, whole.map(|_| ()), &new, path)
}

/// Moves a written file to its place if it is the published one, and removes it otherwise.
fn adopt(file: &RemoteFile, written: Result<()>, new: &Path, path: &Path) -> Result<()> {
    let verified = written.and_then(|()| match file.difference(new)? {
        None => Ok(()),
        Some((found, expected)) => {
            let advice = "it was deleted".to_owned();
            Err(Error::Checksum { path: new.to_owned(), found, expected, advice })
        }
    });
    if let Err(error) = verified {
        if new.exists() {
            fs::remove_file(new).map_err(write_error(new))?;
        }
        return Err(error);
    }
    sync_and_rename(new, path)
}

fn copy(from: &Path, to: &Path, max_bytes: u64, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let origin = format!("`{}`", from.display());
    progress(&format!("copying {origin}"));
    let file = open_regular(from)?;
    let mut writer = File::create(to).map_err(write_error(to))?;
    let most = max_bytes.saturating_add(1);
    let copied = io::copy(&mut file.take(most), &mut writer).map_err(write_error(to))?;
    if copied > max_bytes {
        let reason = format!("more than {max_bytes} bytes, so not the published file");
        return Err(Error::Source { origin, reason });
    }
    Ok(())
}

/// Replaces `path` by the synced `part`, so that a crash leaves a whole file or none.
fn sync_and_rename(part: &Path, path: &Path) -> Result<()> {
    let synced = File::open(part).and_then(|file| file.sync_all());
    synced.and_then(|()| fs::rename(part, path)).map_err(write_error(path))?;
    if let Some(folder) = path.parent() {
        // Not every system can open a folder; the rename is done either way.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |cause| Error::Write { path, cause }
}
