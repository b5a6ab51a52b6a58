//! A run's folder, taken by one process.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sd_bench::run_folder::{LOCK, SUMMARY, UNFINISHED};

use crate::checkpoint;

/// Keeps other runs out of the folder for as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the folder of a run: makes it, or with `resume` checks that it holds one to go on with.
///
/// # Errors
/// If it cannot be written, another process trains in it, it holds a run already or, with
/// `resume`, holds none.
pub fn take(folder: &Path, resume: bool) -> Result<Lock> {
    if resume {
        ensure!(
            checkpoint::exists(folder),
            "nothing to resume: no checkpoint in {}",
            folder.display()
        );
    }
    let path = folder.join(LOCK);
    let file = fs::create_dir_all(folder)
        .and_then(|()| File::create(&path))
        .with_context(|| format!("cannot write into the run's folder {}", folder.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            bail!("another run trains in {} (it holds {})", folder.display(), path.display())
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    if !resume && (checkpoint::exists(folder) || folder.join(SUMMARY).exists()) {
        bail!(
            "{} holds a run already: go on with `--resume`, or choose another folder with `--out`",
            folder.display()
        );
    }
    remove_unfinished(folder)
        .with_context(|| format!("cannot tidy the run's folder {}", folder.display()))?;
    Ok(Lock { _file: file })
}

/// Removes what a run that was killed had not finished writing.
fn remove_unfinished(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
