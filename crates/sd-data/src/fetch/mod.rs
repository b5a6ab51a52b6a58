//! Downloads of the published data sets (cargo feature `fetch`).
//!
//! A [`Recipe`] lists the files of a data set with their published checksums, and the [`Source`]s
//! to try in order. A file is written with the suffix `.part`, verified, synced and renamed, so that
//! a file under its own name is complete. Existing files are never replaced.

mod checksum;
mod http;
mod recipe;

pub use recipe::{Recipe, RemoteFile, Source, published};

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

fn fetch_from(
    source: &Source,
    folder: &Path,
    files: &[&RemoteFile],
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    for file in files {
        let path = folder.join(&file.name);
        let part = part(&path);
        match source {
            Source::Folder(origin) => copy(&origin.join(&file.name), &part, progress)?,
            Source::Http(base) => {
                let address = format!("{}/{}", base.trim_end_matches('/'), file.name);
                http::download(&address, &part, progress)?;
            }
        }
        if let Some((found, expected)) = file.difference(&part)? {
            fs::remove_file(&part).map_err(write_error(&part))?;
            let advice = "it was deleted".to_owned();
            return Err(Error::Checksum { path: part, found, expected, advice });
        }
        sync_and_rename(&part, &path)?;
    }
    Ok(())
}

fn copy(from: &Path, part: &Path, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let origin = format!("`{}`", from.display());
    progress(&format!("copying {origin}"));
    let mut reader =
        File::open(from).map_err(|error| Error::Source { origin, reason: error.to_string() })?;
    let mut writer = File::create(part).map_err(write_error(part))?;
    std::io::copy(&mut reader, &mut writer).map_err(write_error(part))?;
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

fn part(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    PathBuf::from(part)
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Write { path, source }
}
