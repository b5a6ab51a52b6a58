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
use sd_image::EXTENSIONS;
pub use sd_image::{Bounds, decode};
use walkdir::{DirEntry, WalkDir};

/// Standard input, as written on the command line.
const STDIN: &str = "-";

/// Maximum size of a file in bytes.
const MAX_BYTES: u64 = 256 << 20;
/// Bounds of [`read`]: 50 megapixels of at most 4 bytes each, and sides of 65,535, as in JPEG.
pub const BOUNDS: Bounds = Bounds { bytes: 200_000_000, side: 65_535, pixels: 50_000_000 };

/// Expands folders to the image files in and below them, folder by folder, sorted by name. Names that
/// begin with a dot are skipped, and symbolic links followed.
///
/// # Errors
/// Names a folder that cannot be read or has no such file, and an entry that is a pipe or device.
pub fn list(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let before = all.len();
        let is_visible = |entry: &DirEntry| {
            entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
        };
        let walk = WalkDir::new(path).follow_links(true).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(is_visible) {
            match entry {
                Ok(entry) if !entry.file_type().is_dir() && is_image(entry.path()) => {
                    // Opening a pipe would wait for a writer.
                    if !entry.file_type().is_file() {
                        let cause = std::io::Error::other("not a regular file");
                        return Err(Error::File { path: entry.into_path(), cause });
                    }
                    all.push(entry.into_path());
                }
                Ok(_) => {}
                Err(error) => match error.path() {
                    // A link to nothing: reading it is an error, the other images are classified.
                    Some(link) if link.is_symlink() && error.loop_ancestor().is_none() => {
                        all.extend(is_image(link).then(|| link.to_owned()));
                    }
                    at => {
                        let path = at.unwrap_or(path).to_owned();
                        return Err(Error::File { path, cause: error.into() });
                    }
                },
            }
        }
        if all.len() == before {
            return Err(Error::NoImage { folder: path.clone() });
        }
    }
    Ok(all)
}

/// Whether a file is an image by the extension of its name.
fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
}

/// Reads a JPEG, PNG, WebP, BMP or GIF image within [`BOUNDS`], recognised by its content and turned
/// upright by its EXIF orientation. `-` is standard input. To read images from memory, see [`decode`].
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
        let names = ".bmp, .gif, .jpeg, .jpg, .png or .webp";
        assert_eq!(error, format!("{expected}, expected files named {names}"));
    }

    #[test]
    fn folders_are_searched_to_the_bottom() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["b.JPG", "cat/a.gif", "cat/old/c.bmp", "dog/a.webp"];
        for name in ["a.txt", ".a.png", ".thumbnails/a.png"].iter().chain(&names) {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let listed = list(&[folder.path().to_owned()]).unwrap();
        assert_eq!(listed, names.map(|name| folder.path().join(name)));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_a_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.png");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(status.success());
        let error = list(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert_eq!(error, format!("{}: not a regular file", pipe.display()));
    }

    #[cfg(unix)]
    #[test]
    fn a_loop_of_links_is_an_error_and_a_link_to_nothing_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let link = |to: &Path, name| {
            std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
        };
        link(Path::new("nothing.png"), "a.png");
        assert_eq!(list(&[folder.path().to_owned()]).unwrap(), [folder.path().join("a.png")]);
        link(folder.path(), "loop");
        let error = list(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("loop"), "{error}");
    }
}
