//! Taking what is needed out of a wheel.

use super::platform::{Flavour, Platform};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
use zip::ZipArchive;

/// Why a wheel could not be unpacked.
#[derive(Debug)]
pub enum Error {
    /// The wheel is not what was published: another download may be
    Damaged(PathBuf, String),
    /// The disk said no: another download changes nothing
    Write(PathBuf, io::Error),
}

/// Unpacks what the flavour needs of a wheel into the folder; checksums are checked.
pub fn unpack(
    wheel: &Path,
    platform: Platform,
    flavour: Flavour,
    into: &Path,
) -> Result<(), Error> {
    let damaged = |error: &dyn std::fmt::Display| Error::Damaged(wheel.into(), error.to_string());
    let file = File::open(wheel).map_err(|error| damaged(&error))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(&error))?;
    let mut buffer = vec![0; 1 << 20];
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| damaged(&error))?;
        let name = entry.name().map_err(|error| damaged(&error))?.into_owned();
        if entry.is_dir() || !Path::new(&name).components().all(is_plain) {
            continue;
        }
        let Some(place) = platform.place(&name, flavour) else {
            continue;
        };
        let path = into.join(place);
        let write = |error| Error::Write(path.clone(), error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(write)?;
        }
        let mut file = File::create(&path).map_err(write)?;
        // Not `io::copy`: it does not say which side failed.
        loop {
            let read =
                entry.read(&mut buffer).map_err(|error| damaged(&format!("{name}: {error}")))?;
            if read == 0 {
                break;
            }
            file.write_all(&buffer[..read]).map_err(write)?;
        }
    }
    Ok(())
}

fn is_plain(component: Component<'_>) -> bool {
    matches!(component, Component::Normal(_))
}
