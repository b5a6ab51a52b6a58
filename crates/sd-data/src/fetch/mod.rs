//! Getting the published data sets (cargo feature `fetch`).
//!
//! A [`Recipe`] lists the files of a data set with their published checksums, and the [`Source`]s
//! to try in turn. A file is written under its name with `.part` at the end, compared with its
//! checksum, synced and renamed: under its own name there is a whole file or none. What is in the
//! folder already is never replaced.

mod checksum;
mod http;
mod recipe;

pub use checksum::Checksums;
pub use recipe::{Published, Recipe, RemoteFile, Source};

use crate::{Error, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What a data folder has of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nothing.
    Absent,
    /// Some files, with the right checksums, of several.
    Partly,
    /// All files, with the right checksums.
    Complete,
    /// The folder that the archive would unpack to; its files have no published checksum.
    Unpacked,
    /// A file whose checksum is not the published one.
    Different(PathBuf),
}

/// What `data_dir` has of a data set.
///
/// # Errors
/// When a file cannot be read.
pub fn presence(recipe: &Recipe, data_dir: &Path) -> Result<Presence> {
    if recipe.is_unpacked(data_dir) {
        return Ok(Presence::Unpacked);
    }
    let mut there = 0;
    for file in &recipe.files {
        let path = recipe.path(data_dir, &file.name);
        if path.is_file() {
            if file.checksums.difference(&path)?.is_some() {
                return Ok(Presence::Different(path));
            }
            there += 1;
        }
    }
    Ok(match there {
        0 => Presence::Absent,
        _ if there < recipe.files.len() => Presence::Partly,
        _ => Presence::Complete,
    })
}

/// Puts a data set into `data_dir`, from the first of its sources that gives it. `say` gets a line
/// at each step, for a person.
///
/// # Errors
/// When no source gives it; the message has each one's reason and what a person can do. When a file
/// is there already with another checksum. When nothing can be written.
pub fn fetch(recipe: &Recipe, data_dir: &Path, say: &mut dyn FnMut(&str)) -> Result<()> {
    if recipe.is_unpacked(data_dir) {
        say(&format!("{} is there, unpacked", recipe.title));
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
        match from(source, &folder, &missing, say) {
            Ok(()) => break,
            // No other source can help where nothing can be written.
            Err(error @ Error::Write { .. }) => return Err(error),
            Err(error) => {
                say(&error.to_string());
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
            put(&part, &path)?;
        }
    }
    say(&format!("{} is in `{}`", recipe.title, folder.display()));
    Ok(())
}

/// The files that are not there. One that is there must be the published one.
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

fn from(
    source: &Source,
    folder: &Path,
    files: &[&RemoteFile],
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    match source {
        Source::Folder(origin) => {
            for file in files {
                copy(&origin.join(&file.name), folder, file)?;
                say(&format!("copied {} from `{}`", file.name, origin.display()));
            }
        }
        Source::Http(base) => {
            for file in files {
                let path = folder.join(&file.name);
                let address = format!("{}/{}", base.trim_end_matches('/'), file.name);
                http::download(&address, &part(&path), say)?;
                verify_and_put(file, &path)?;
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
    verify_and_put(file, &path)
}

/// Gives the finished part of `path` its name, if it is the published file, and else deletes it.
fn verify_and_put(file: &RemoteFile, path: &Path) -> Result<()> {
    let part = part(path);
    if let Some((found, expected)) = file.checksums.difference(&part)? {
        fs::remove_file(&part).map_err(write_error(&part))?;
        let advice = "it was deleted".to_owned();
        return Err(Error::Checksum { path: part, found, expected, advice });
    }
    put(&part, path)
}

/// Syncs and renames, so that a crash leaves a whole file or none.
fn put(part: &Path, path: &Path) -> Result<()> {
    let synced = File::open(part).and_then(|file| file.sync_all());
    synced.and_then(|()| fs::rename(part, path)).map_err(write_error(path))?;
    if let Some(folder) = path.parent() {
        // Not every system lets a folder be opened; the rename is done either way.
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
