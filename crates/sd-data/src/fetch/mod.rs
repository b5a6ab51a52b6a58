//! Downloads of the published data sets (cargo feature `fetch`).
//!
//! A [`Recipe`] lists the files of a data set with their published checksums, and the [`Source`]s
//! to try in order. A file is written with the suffix `.part`, verified, synced and renamed, so that
//! a file under its own name is complete. Existing files are never replaced.

mod checksum;
mod http;
mod recipe;

pub use checksum::Checksums;
pub use recipe::{Published, Recipe, RemoteFile, Source};

use crate::{Error, Result};
use std::fs::{self, File};
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
    /// The unpacked archive, whose files have no published checksums.
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
    let mut complete = 0;
    for file in &recipe.files {
        let path = recipe.path(data_dir, &file.name);
        if path.is_file() {
            if file.checksums.difference(&path)?.is_some() {
                return Ok(Presence::Different(path));
            }
            complete += 1;
        }
    }
    Ok(match complete {
        0 => Presence::Absent,
        _ if complete < recipe.files.len() => Presence::Partly,
        _ => Presence::Complete,
    })
}

/// Downloads a data set into `data_dir` from the first source that works. `progress` receives a line
/// of text at each step.
///
/// # Errors
/// If every source fails (the message lists the reasons and what to do), an existing file has a wrong
/// checksum, or a file cannot be written.
pub fn fetch(recipe: &Recipe, data_dir: &Path, progress: &mut dyn FnMut(&str)) -> Result<()> {
    if recipe.is_unpacked(data_dir) {
        progress(&format!("{} is there already, unpacked", recipe.title));
        return Ok(());
    }
    let mut missing = missing(recipe, data_dir)?;
    let folder = recipe.folder(data_dir);
    fs::create_dir_all(&folder).map_err(write_error(&folder))?;
    let mut reasons = Vec::new();
    let mut sources = recipe.sources.iter();
    while !missing.is_empty() {
        let Some(source) = sources.next() else {
            let advice = format!("{} in `{}`", recipe.advice, folder.display());
            return Err(Error::Fetch { name: recipe.title.clone(), reasons, advice });
        };
        match fetch_from(source, &folder, &missing, progress) {
            Ok(()) => break,
            // No other source helps if files cannot be written.
            Err(error @ Error::Write { .. }) => return Err(error),
            Err(error) => {
                progress(&error.to_string());
                reasons.push(error.to_string());
            }
        }
        missing.retain(|file| !folder.join(&file.name).is_file());
    }
    for (name, text) in &recipe.texts {
        let path = folder.join(name);
        if !path.exists() {
            let part = part(&path);
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
        let path = recipe.path(data_dir, &file.name);
        if !path.is_file() {
            missing.push(file);
        } else if let Some((found, expected)) = file.checksums.difference(&path)? {
            let advice = "move it away to fetch it again".to_owned();
            return Err(Error::Checksum { path, found, expected, advice });
        }
    }
    Ok(missing)
}

fn fetch_from(
    source: &Source,
    folder: &Path,
    files: &[&RemoteFile],
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    match source {
        Source::Folder(origin) => {
            for file in files {
                copy(&origin.join(&file.name), folder, file)?;
                progress(&format!("copied {} from `{}`", file.name, origin.display()));
            }
        }
        Source::Http(base) => {
            for file in files {
                let path = folder.join(&file.name);
                let address = format!("{}/{}", base.trim_end_matches('/'), file.name);
                http::download(&address, &part(&path), progress)?;
                verify_and_rename(file, &path)?;
            }
        }
    }
    Ok(())
}

fn copy(from: &Path, folder: &Path, file: &RemoteFile) -> Result<()> {
    let path = folder.join(&file.name);
    let part = part(&path);
    let mut reader = File::open(from).map_err(|error| Error::Source {
        origin: format!("`{}`", from.display()),
        reason: error.to_string(),
    })?;
    let mut writer = File::create(&part).map_err(write_error(&part))?;
    std::io::copy(&mut reader, &mut writer).map_err(write_error(&part))?;
    verify_and_rename(file, &path)
}

/// Verifies the `.part` file of `path` and renames it, or deletes it.
fn verify_and_rename(file: &RemoteFile, path: &Path) -> Result<()> {
    let part = part(path);
    if let Some((found, expected)) = file.checksums.difference(&part)? {
        fs::remove_file(&part).map_err(write_error(&part))?;
        let advice = "it was deleted".to_owned();
        return Err(Error::Checksum { path: part, found, expected, advice });
    }
    sync_and_rename(&part, path)
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

fn part(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    PathBuf::from(part)
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Write { path, source }
}
