//! Image files, read as images of one size.

mod read;

pub(super) use read::Files;
pub(crate) use read::ListedFile;

use crate::{Error, ImageShape, Result, memory};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use tracing::info;

/// Resizing and cropping of JPEG, PNG, WebP, BMP and GIF files (their first frame) to RGB images of
/// one size.
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
    /// Skips files that do not decode as images and logs their names, up to a tenth of all files (10
    /// of fewer than 100). By default they are an error. Missing files, links and pipes always are.
    #[serde(default)]
    pub skip_broken: bool,
    /// Follows symbolic links that lead out of the data set's folder. By default they are an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow_links: bool,
    /// Maximum memory of all images together, in GB (10⁹ bytes). Default: 16.
    #[serde(default = "sixteen")]
    pub memory_gb: usize,
}

fn sixteen() -> usize {
    16
}

const MAX_SIDE: usize = 4096;

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
        Self {
            side,
            shorter_side: None,
            skip_broken: false,
            follow_links: false,
            memory_gb: sixteen(),
        }
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

    /// Logs how much memory `files` images need and checks it against the limit and the machine.
    fn check_memory(&self, key: &str, folder: &Path, files: usize) -> Result<()> {
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
        let images = format!("{files} images of {side}×{side} pixels", side = self.side);
        memory::require(bytes, images, &format!("use a smaller `{key}.images.side`"))?;
        info!("reading `{}`: {needed} of memory", folder.display());
        Ok(())
    }
}
