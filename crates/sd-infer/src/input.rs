//! Images that a command line names.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use crate::{Error, Result};
use image::{DynamicImage, ImageReader};

/// Standard input, as written on the command line.
const STDIN: &str = "-";
/// Endings of the files that are taken from a folder.
const ENDINGS: [&str; 4] = ["jpeg", "jpg", "png", "webp"];

/// The files named, and those in the folders named that end like JPEG, PNG or WebP, in the order of
/// their names.
///
/// # Errors
/// Names the folder that cannot be read.
pub fn listed(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let failed = |source| Error::File { path: path.clone(), source };
        let entries = std::fs::read_dir(path).map_err(failed)?;
        let entries = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut inside = entries.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
        inside.retain(|path| {
            let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
            ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
        });
        inside.sort();
        all.extend(inside);
    }
    Ok(all)
}

/// An image, of whichever format its bytes are. `-` is standard input.
///
/// # Errors
/// Names the file that cannot be read or is no image.
pub fn read(path: &Path) -> Result<DynamicImage> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    if path.as_os_str() == STDIN {
        std::io::stdin().read_to_end(&mut bytes).map_err(failed)?;
    } else {
        bytes = std::fs::read(path).map_err(failed)?;
    }
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(failed)?;
    let name = path.display().to_string();
    reader.decode().map_err(|source| Error::Image { name, source })
}
