//! Lock on the folder of a run.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sd_report::run_folder::{LOCK, SUMMARY, is_unfinished};

use super::checkpoint;

/// Keeps other processes out of the folder until it is dropped.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// Creates and locks the folder of a run; with `resume`, it must hold a checkpoint.
///
/// # Errors
/// If it cannot be written, another process trains in it, it already holds a run or, with
/// `resume`, holds no checkpoint.
pub fn acquire(folder: &Path, resume: bool) -> Result<RunLock> {
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
            "{} holds a run already: continue with `--resume`, or choose another folder with `--out`",
            folder.display()
        );
    }
    remove_unfinished(folder)
        .with_context(|| format!("cannot clean up the run's folder {}", folder.display()))?;
    Ok(RunLock { _file: file })
}

/// Removes unfinished files of a run that was killed.
fn remove_unfinished(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_unfinished(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
