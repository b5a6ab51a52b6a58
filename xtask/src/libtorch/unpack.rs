//! Unpacking the required files of a wheel.

use super::platform::{Flavour, Platform};
use anyhow::{Context, Error, Result};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;
use zip::ZipArchive;

/// Marks the errors that another download may avoid.
pub const DAMAGED: &str = "arrived damaged";

/// Unpacks a wheel's files that the flavour requires, and checks their CRC-32. Subtracts their bytes
/// from `left`.
///
/// # Errors
/// Contain [`DAMAGED`] if the wheel is not as published, or name a file beyond the bytes left.
pub fn unpack(
    wheel: &Path,
    platform: Platform,
    flavour: Flavour,
    target: &Path,
    left: &mut u64,
) -> Result<()> {
    let damaged = || format!("{} {DAMAGED}", wheel.file_name().unwrap_or_default().display());
    let file = File::open(wheel).with_context(|| wheel.display().to_string())?;
    let mut archive = ZipArchive::new(BufReader::new(file)).with_context(damaged)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).with_context(damaged)?;
        // `None` if the name leads out of the folder.
        let name = entry.enclosed_name().filter(|_| !entry.is_dir());
        let path = name.and_then(|name| platform.destination(&name, flavour));
        let Some(path) = path.map(|path| target.join(path)) else { continue };
        let cannot_write = || format!("cannot write {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(target)).with_context(cannot_write)?;
        let mut file = File::create(&path).with_context(cannot_write)?;
        // One more, which tells a longer file from one of this length.
        let mut bounded = (&mut entry).take(left.saturating_add(1));
        let written = io::copy(&mut bounded, &mut file).map_err(|error| {
            // Errors of the disk carry a code of the operating system, those of the decoder none.
            let from_disk = error.raw_os_error().is_some();
            let context = if from_disk { cannot_write() } else { damaged() };
            Error::new(error).context(context)
        })?;
        *left = left.checked_sub(written).with_context(|| {
            format!("{}: more than {} GB unpacked", path.display(), flavour.gigabytes())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    #[test]
    fn files_stay_in_the_folder_and_within_the_bytes_left() {
        let outside = tempfile::tempdir().unwrap();
        let wheel = outside.path().join("torch.whl");
        let escaped = outside.path().join("escaped.h");
        let mut archive = ZipWriter::new(File::create(&wheel).unwrap());
        let name = format!("torch/include/{}", escaped.display());
        archive.start_file(name, SimpleFileOptions::default()).unwrap();
        archive.write_all(&[0; 1000]).unwrap();
        archive.finish().unwrap();
        let target = tempfile::tempdir().unwrap();
        let unpack = |mut left: u64| {
            let platform = Platform::Linux("x86_64");
            unpack(&wheel, platform, Flavour::Cpu, target.path(), &mut left).map(|()| left)
        };
        assert_eq!(unpack(1001).unwrap(), 1);
        assert!(!escaped.exists());
        let inside = escaped.strip_prefix("/").unwrap();
        assert!(target.path().join("include").join(inside).exists());
        let error = unpack(999).unwrap_err().to_string();
        assert!(error.ends_with("escaped.h: more than 2 GB unpacked"), "{error}");
    }
}
