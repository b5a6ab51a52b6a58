//! Image files, read as images of one size.

use crate::{Error, ImageSet, ImageShape, Result};
use rayon::prelude::*;
use schemars::JsonSchema;
use sd_image::{Bounds, Resizer, decode, fit};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::{fmt, fs};
use tracing::{info, warn};

/// Resizing and cropping of JPEG, PNG and WebP files to RGB images of one size.
///
/// A file is decoded and rotated by its EXIF orientation. Greyscale is repeated in three channels,
/// transparency is dropped, 16 bits become 8. The image is resized, keeping its aspect ratio, until
/// its shorter side has [`shorter_side`](Self::shorter_side) pixels (antialiased bilinear, as
/// torchvision's `Resize`), and the central square of [`side`](Self::side) pixels is cropped
/// (`CenterCrop`).
///
/// All images are read at the start, on all cores, and stay in memory: `3 · side²` bytes each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageFilesConfig {
    /// Height and width of the images in pixels, 1 to 4096.
    pub side: usize,
    /// Shorter side before the center crop, in pixels, from `side` to 4096. Default: `side`, so that
    /// only the excess of the longer side is cropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shorter_side: Option<usize>,
    /// Skips unreadable images and logs their names. By default they are an error.
    #[serde(default)]
    pub skip_broken: bool,
    /// Maximum memory of all images together, in GB (10⁹ bytes). Default: 16.
    #[serde(default = "sixteen")]
    pub memory_gb: usize,
}

fn sixteen() -> usize {
    16
}

const MAX_SIDE: usize = 4096;
/// Maximum bytes of a file and of its decoded image: 89 megapixels of RGB.
const MAX_BYTES: u64 = 256 << 20;
const BOUNDS: Bounds = Bounds { bytes: MAX_BYTES, side: u32::MAX, pixels: u64::MAX };

/// A file of a data set.
#[derive(Debug)]
pub(super) struct ListedFile {
    /// Relative to the data set's folder, with `/` as separator.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) label: usize,
    /// Its line in the CSV file, from 1.
    pub(super) line: Option<u64>,
}

/// A file that cannot be read as an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BrokenFile {
    /// The file.
    pub path: PathBuf,
    /// Its line in the CSV file, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The cause.
    pub reason: String,
}

impl fmt::Display for BrokenFile {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "`{}`", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl ImageFilesConfig {
    /// Images of `side`×`side` pixels, with defaults for the rest.
    pub fn new(side: usize) -> Self {
        Self { side, shorter_side: None, skip_broken: false, memory_gb: sixteen() }
    }

    pub(super) fn shape(&self) -> ImageShape {
        ImageShape::new(3, self.side, self.side)
    }

    /// The shorter side of an image before the center crop.
    pub fn resized_side(&self) -> usize {
        self.shorter_side.unwrap_or(self.side)
    }

    /// Checks the values; `key` names the data set in errors.
    pub(super) fn check(&self, key: &str) -> Result<()> {
        let key = |name| format!("{key}.images.{name}");
        if !(1..=MAX_SIDE).contains(&self.side) {
            return Err(Error::value(key("side"), self.side, format!("1 to {MAX_SIDE}")));
        }
        if let Some(shorter) = self.shorter_side
            && !(self.side..=MAX_SIDE).contains(&shorter)
        {
            let expected = format!("{} (`side`) to {MAX_SIDE}", self.side);
            return Err(Error::value(key("shorter_side"), shorter, expected));
        }
        Ok(())
    }

    /// Logs how much memory `files` images need and checks it against the limit.
    pub(super) fn check_memory(&self, key: &str, folder: &Path, files: usize) -> Result<()> {
        let bytes = files.saturating_mul(self.shape().values());
        let needed = format!(
            "{files} images of {side}×{side} pixels need {:.1} MB",
            bytes as f64 / 1e6,
            side = self.side
        );
        if bytes > self.memory_gb.saturating_mul(1_000_000_000) {
            return Err(Error::value(
                format!("{key}.images.memory_gb"),
                self.memory_gb,
                format!("more, or a smaller `side`: {needed}"),
            ));
        }
        info!("reading `{}`: {needed} of memory", folder.display());
        Ok(())
    }

    /// Reads the images of a split. Opens no file outside of `root`, which must be canonical. Adds
    /// skipped files to `skipped`.
    pub(super) fn read_split(
        &self,
        key: &str,
        root: &Path,
        mut files: Vec<ListedFile>,
        class_names: &[String],
        skipped: &mut Vec<BrokenFile>,
    ) -> Result<ImageSet> {
        let values = self.shape().values();
        let mut pixels = vec![0; files.len() * values];
        let broken: Vec<Option<BrokenFile>> = pixels
            .par_chunks_exact_mut(values)
            .zip(&files)
            .map_init(Resizer::new, |resizer, (target, file)| {
                let read = inside(root, &file.path)
                    .and_then(|path| self.read_into(&path, resizer, target));
                let broken =
                    |reason| BrokenFile { path: file.path.clone(), line: file.line, reason };
                read.err().map(broken)
            })
            .collect();
        if broken.iter().any(Option::is_some) {
            if !self.skip_broken {
                return Err(Error::Broken {
                    files: broken.into_iter().flatten().collect(),
                    total: files.len(),
                    key: format!("{key}.images.skip_broken"),
                });
            }
            let mut whole = 0;
            for (index, broken) in broken.iter().enumerate() {
                if broken.is_none() {
                    pixels.copy_within(index * values..(index + 1) * values, whole * values);
                    whole += 1;
                }
            }
            pixels.truncate(whole * values);
            let mut states = broken.iter();
            files.retain(|_| states.next().is_some_and(Option::is_none));
            for file in broken.into_iter().flatten() {
                warn!("skipped {file}");
                skipped.push(file);
            }
        }
        let labels = files.iter().map(|file| file.label).collect();
        let mut set = ImageSet::new(self.shape(), pixels, labels, class_names.to_vec())?;
        set.files = files.into_iter().map(|file| file.name).collect();
        Ok(set)
    }

    fn read_into(
        &self,
        path: &Path,
        resizer: &mut Resizer,
        target: &mut [u8],
    ) -> std::result::Result<(), String> {
        let image = decode(&read(path)?, BOUNDS).map_err(|error| error.to_string())?;
        fit(&image.into_rgb8(), self.resized_side(), self.side, resizer, target);
        Ok(())
    }
}

/// Reads a regular file of bounded size: a pipe or a device might never end.
fn read(path: &Path) -> std::result::Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    if metadata.len() > MAX_BYTES {
        return Err(format!("{} bytes, expected at most {MAX_BYTES}", metadata.len()));
    }
    fs::read(path).map_err(|error| error.to_string())
}

/// The canonical form of `path`, if that is inside `root`.
fn inside(root: &Path, path: &Path) -> std::result::Result<PathBuf, String> {
    let real = path.canonicalize().map_err(|error| error.to_string())?;
    if real.starts_with(root) {
        Ok(real)
    } else {
        Err(format!("links to `{}`, outside of `{}`", real.display(), root.display()))
    }
}
