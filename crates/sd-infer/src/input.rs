//! Images that a command line names.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::{Error, Result};
use image::DynamicImage;
use sd_image::{Bounds, decode};

/// Standard input, as written on the command line.
const STDIN: &str = "-";
/// Endings of the files that are taken from a folder.
const ENDINGS: [&str; 4] = ["jpeg", "jpg", "png", "webp"];

/// Bytes of a file that are read.
const MAX_BYTES: u64 = 256 << 20;
/// Bytes of an image's pixels; and its rows and columns, which are those of the largest JPEG.
const BOUNDS: Bounds = Bounds { bytes: 512 << 20, side: 65_535 };

/// The files named, and those in the folders named that end like JPEG, PNG or WebP, in the order of
/// their names.
///
/// # Errors
/// Names the folder that cannot be read, or has no such file.
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
        if inside.is_empty() {
            return Err(Error::NoImage { folder: path.clone() });
        }
        inside.sort();
        all.extend(inside);
    }
    Ok(all)
}

/// A JPEG, PNG or WebP image, whatever the file is called, upright as its EXIF data say: of at most
/// 512 MiB and sides of 65,535. `-` is standard input.
///
/// # Errors
/// Names the file that cannot be read or is no image.
pub fn read(path: &Path) -> Result<DynamicImage> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = if path.as_os_str() == STDIN {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(failed(std::io::Error::other(format!("more than {MAX_BYTES} bytes"))));
    }
    let name = path.display().to_string();
    decode(&bytes, BOUNDS).map_err(|source| Error::Image { name, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::GrayImage;

    /// A pixel wide, it would be resized to four thousand, and then need a thousand times the
    /// memory.
    #[test]
    fn what_is_longer_than_any_photograph_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        GrayImage::new(65_535, 1).save(&path).unwrap();
        assert_eq!(read(&path).unwrap().width(), 65_535);
        GrayImage::new(65_536, 1).save(&path).unwrap();
        let long = read(&path).unwrap_err().to_string();
        assert!(long.ends_with("65536×1 pixels, expected sides of 1 to 65535"), "{long}");
    }

    #[test]
    fn a_folder_without_images_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("notes.txt"), "").unwrap();
        let said = listed(&[folder.path().to_owned()]).unwrap_err().to_string();
        let expected = format!("no image in {}", folder.path().display());
        assert_eq!(said, format!("{expected}, expected files named .jpeg, .jpg, .png or .webp"));
    }
}
