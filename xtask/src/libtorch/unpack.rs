//! Unpacking the required files of a wheel.

use super::platform::{Flavour, Platform};
use anyhow::{Context, Error, Result};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;
use zip::ZipArchive;

/// Marks the errors that another download may avoid.
pub const DAMAGED: &str = "arrived damaged";

/// Unpacks a wheel's files that the flavour requires, and checks their CRC-32.
///
/// # Errors
/// Contain [`DAMAGED`] if the wheel is not as published.
pub fn unpack(wheel: &Path, platform: Platform, flavour: Flavour, target: &Path) -> Result<()> {
    let damaged = || format!("{} {DAMAGED}", wheel.file_name().unwrap_or_default().display());
    let file = File::open(wheel).with_context(|| wheel.display().to_string())?;
    let mut archive = ZipArchive::new(BufReader::new(file)).with_context(damaged)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).with_context(damaged)?;
        // `None` if the name leads out of the folder.
        let name = entry.enclosed_name().filter(|_| !entry.is_dir());
        let path = name.and_then(|name| platform.destination(name.to_str()?, flavour));
        let Some(path) = path.map(|path| target.join(path)) else { continue };
        let cannot_write = || format!("cannot write {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(target)).with_context(cannot_write)?;
        let mut file = File::create(&path).with_context(cannot_write)?;
        io::copy(&mut entry, &mut file).map_err(|error| {
            // Errors of the disk carry a code of the operating system, those of the decoder none.
            let from_disk = error.raw_os_error().is_some();
            let context = if from_disk { cannot_write() } else { damaged() };
            Error::new(error).context(context)
        })?;
    }
    Ok(())
}
