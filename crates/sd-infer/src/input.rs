//! Image files named on a command line, and images in memory.
//!
//! ```
//! use sd_infer::input::{self, Bounds};
//!
//! # let mut upload = std::io::Cursor::new(Vec::new());
//! # image::DynamicImage::new_rgb8(60, 40).write_to(&mut upload, image::ImageFormat::Png)?;
//! # let upload = upload.into_inner();
//! // A server may accept less than the default bounds.
//! let bounds = Bounds { pixels: 4_000_000, ..input::BOUNDS };
//! let image = input::decode(&upload, bounds)?;
//! assert_eq!(image.width(), 60);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::{Error, Result};
use image::DynamicImage;
pub use sd_image::{Bounds, decode};

/// Standard input, as written on the command line.
const STDIN: &str = "-";
/// Extensions of the files taken from a folder.
const EXTENSIONS: [&str; 4] = ["jpeg", "jpg", "png", "webp"];

/// Maximum size of a file in bytes.
const MAX_BYTES: u64 = 256 << 20;
/// Bounds of [`read`]: 50 megapixels of at most 4 bytes each, and sides of 65,535, as in JPEG.
pub const BOUNDS: Bounds = Bounds { bytes: 200_000_000, side: 65_535, pixels: 50_000_000 };

/// Expands folders to the JPEG, PNG and WebP files in them, sorted by name.
///
/// # Errors
/// Names a folder that cannot be read or has no such file.
pub fn list(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let failed = |cause| Error::File { path: path.clone(), cause };
        let entries = std::fs::read_dir(path).map_err(failed)?;
        let entries = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut inside = entries.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
        inside.retain(|path| {
            let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
            extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
        });
        if inside.is_empty() {
            return Err(Error::NoImage { folder: path.clone() });
        }
        inside.sort();
        all.extend(inside);
    }
    Ok(all)
}

/// Reads a JPEG, PNG or WebP image within [`BOUNDS`], recognised by its content and turned upright by
/// its EXIF orientation. `-` is standard input. To read images from memory, see [`decode`].
///
/// # Errors
/// Names a file that cannot be read, is not such an image, or exceeds a bound.
pub fn read(path: &Path) -> Result<DynamicImage> {
    read_within(path, BOUNDS)
}

/// Reads an image of at most 256 MiB within these bounds, see [`read`].
///
/// # Errors
/// See [`read`].
pub fn read_within(path: &Path, bounds: Bounds) -> Result<DynamicImage> {
    let failed = |cause| Error::File { path: path.to_owned(), cause };
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
    decode(&bytes, bounds).map_err(|cause| Error::Image { name, cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::GrayImage;

    /// An image of one row is enlarged until it has the network's height, which multiplies its memory.
    #[test]
    fn images_with_sides_over_65535_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        GrayImage::new(65_535, 1).save(&path).unwrap();
        assert_eq!(read(&path).unwrap().width(), 65_535);
        GrayImage::new(65_536, 1).save(&path).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.ends_with("65536×1 pixels, expected sides of 1 to 65535"), "{error}");
    }

    #[test]
    fn a_folder_without_images_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("notes.txt"), "").unwrap();
        let error = list(&[folder.path().to_owned()]).unwrap_err().to_string();
        let expected = format!("no image in {}", folder.path().display());
        assert_eq!(error, format!("{expected}, expected files named .jpeg, .jpg, .png or .webp"));
    }
}
