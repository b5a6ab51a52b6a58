//! The folder of an export, which is replaced as a whole.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sd_report::run_folder;

/// What the folder of an export may hold, so that nothing else is removed with it.
#[derive(Debug, Clone, Copy)]
pub struct Contents {
    /// Whether a file of this name belongs to an export.
    pub holds: fn(&str) -> bool,
    /// A folder that may stand among the files.
    pub subfolder: Option<&'static str>,
    /// The files, for a message: `*.onnx files`.
    pub described: &'static str,
}

/// A folder that is written beside its destination and then renamed, so that files of an older
/// export never stand beside those of a newer one.
#[derive(Debug)]
pub struct ExportFolder {
    destination: PathBuf,
    /// Holds the new files until they are complete.
    partial: PathBuf,
    /// Holds the older export while it is replaced.
    old: PathBuf,
}

impl ExportFolder {
    /// Creates the folder beside its destination.
    ///
    /// # Errors
    /// If the destination is a file, or a folder with anything but `contents`.
    pub fn create(destination: &Path, contents: Contents) -> Result<Self> {
        // A link stays, and the folder that it names is replaced.
        let destination = match destination.canonicalize() {
            Ok(existing) => existing,
            Err(error) if error.kind() == ErrorKind::NotFound => destination.to_owned(),
            Err(error) => return Err(error).with_context(|| destination.display().to_string()),
        };
        let name = destination.file_name().and_then(|name| name.to_str());
        let name =
            name.with_context(|| format!("{}: not a folder's name", destination.display()))?;
        let beside = |ending: &str| destination.with_file_name(format!("{name}{ending}"));
        let (partial, old) = (beside(".partial"), beside(".old"));
        check(&destination, contents)?;
        // An export that was killed has left these, the older export among them if it was killed
        // between its two renamings.
        if !destination.exists() && old.exists() {
            rename(&old, &destination)?;
        }
        for folder in [&partial, &old] {
            check(folder, contents)?;
            remove(folder)?;
        }
        fs::create_dir_all(&partial)
            .with_context(|| format!("cannot create the folder {}", partial.display()))?;
        Ok(Self { destination, partial, old })
    }

    /// Path of a file of the folder while it is written.
    pub fn path(&self, file: &str) -> PathBuf {
        self.partial.join(file)
    }

    /// Moves the folder to its destination, in place of an older export.
    ///
    /// # Errors
    /// If a folder cannot be renamed.
    pub fn finish(self) -> Result<()> {
        if self.destination.exists() {
            rename(&self.destination, &self.old)?;
        }
        rename(&self.partial, &self.destination)?;
        remove(&self.old)
    }
}

impl Drop for ExportFolder {
    fn drop(&mut self) {
        // What an error left; after `finish` there is no such folder.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// Refuses a file, or a folder with anything but `contents`.
fn check(folder: &Path, contents: Contents) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => {
            entries.with_context(|| format!("cannot read the folder {}", folder.display()))?
        }
    };
    for entry in entries {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let is_ours = name.to_str().is_some_and(|name| {
            // A killed export leaves the file that it was writing.
            let written = run_folder::unfinished_name(name).unwrap_or(name);
            path.is_file() && (contents.holds)(written)
                || path.is_dir() && contents.subfolder == Some(name)
        });
        ensure!(
            is_ours,
            "{}: found {}, expected a new folder or one with {} alone, which this export replaces",
            folder.display(),
            name.display(),
            contents.described
        );
    }
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::SEGMENTS;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_older_export_is_replaced_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let destination = root.path().join("staged");
        for files in [&["1-a.onnx", "2-b.onnx", "3-c.onnx"][..], &["1-deepest.onnx"]] {
            let folder = ExportFolder::create(&destination, SEGMENTS).unwrap();
            for file in files {
                fs::write(folder.path(file), "network").unwrap();
            }
            folder.finish().unwrap();
            assert_eq!(names(&destination), files);
        }
        fs::rename(&destination, root.path().join("staged.old")).unwrap();
        let interrupted = ExportFolder::create(&destination, SEGMENTS).unwrap();
        fs::write(interrupted.path("1-x.onnx"), "network").unwrap();
        drop(interrupted);
        assert_eq!(names(&destination), ["1-deepest.onnx"]);
        assert_eq!(names(root.path()), ["staged"]);
    }

    #[test]
    fn what_a_killed_export_left_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let destination = root.path().join("staged");
        let partial = root.path().join("staged.partial");
        fs::create_dir(&partial).unwrap();
        for file in ["1-exit1.onnx", ".2-exit2.onnx.3fA9xz"] {
            fs::write(partial.join(file), "network").unwrap();
        }
        ExportFolder::create(&destination, SEGMENTS).unwrap().finish().unwrap();
        assert_eq!(names(root.path()), ["staged"]);
        assert!(names(&destination).is_empty());
    }

    #[test]
    fn a_folder_with_other_files_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("config.toml"), "").unwrap();
        let error = ExportFolder::create(root.path(), SEGMENTS).unwrap_err().to_string();
        assert!(error.contains("found config.toml, expected a new folder"), "{error}");
        assert_eq!(names(root.path()), ["config.toml"]);
    }
}
