//! Image files, read as images of one size.

mod open;
mod read;
mod storage;

pub(super) use open::Listing;
pub(crate) use open::dimensions;
pub(super) use read::Files;
pub(crate) use read::ListedFile;
pub use storage::StorageConfig;

use super::{Purpose, Splits};
use crate::source::Picture;
use crate::{Error, ImageShape, Result, memory, pack};
use schemars::JsonSchema;
use sd_image::{Resizer, fit_pixels, shrink};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// Resizing and cropping of JPEG, PNG, WebP, BMP and GIF files (their first frame) to RGB images of
/// one size.
///
/// A file is decoded and rotated by its EXIF orientation. Greyscale is repeated in three channels,
/// transparency is dropped, 16 bits become 8. The image is resized, keeping its aspect ratio, until
/// its shorter side has [`shorter_side`](Self::shorter_side) pixels (antialiased bilinear, as
/// torchvision's `Resize`), and the central square of [`side`](Self::side) pixels is cropped
/// (`CenterCrop`).
///
/// Images that fit into [`memory_gb`](Self::memory_gb) are read at the start, on all cores, and stay in
/// memory: `3 · side²` bytes each, and with `random_resized_crop` those of the training images at their
/// own size.
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
    /// Where the images are during training. Default: `auto`.
    #[serde(default, skip_serializing_if = "StorageConfig::is_auto")]
    pub storage: StorageConfig,
    /// Shorter side, from `side` to 4096 pixels, to which larger images are resized before
    /// `random_resized_crop`. Saves memory where photographs are much larger than `side`. By default
    /// crops come from the pixels of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop_from: Option<usize>,
}

fn sixteen() -> usize {
    16
}

const MAX_SIDE: usize = 4096;

/// A file that cannot be read as an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenFile {
    /// The file.
    pub path: PathBuf,
    /// Its line in the CSV file, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
            storage: StorageConfig::Auto,
            crop_from: None,
        }
    }

    pub(crate) fn shape(&self) -> ImageShape {
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
        for (name, value) in [("shorter_side", self.shorter_side), ("crop_from", self.crop_from)] {
            if let Some(value) = value
                && !(self.side..=MAX_SIDE).contains(&value)
            {
                let expected = format!("{} (`side`) to {MAX_SIDE}", self.side);
                return Err(Error::value(key(name), value, expected));
            }
        }
        Ok(())
    }

    /// The packed file that the images are read from, if there is one.
    pub(super) fn packed(&self, data_dir: &Path, purpose: Purpose) -> Option<PathBuf> {
        match &self.storage {
            StorageConfig::Packed(file) if purpose != Purpose::Packing => Some(data_dir.join(file)),
            _ => None,
        }
    }

    /// Opens a packed file of the data set `name`; `key` names it in errors.
    pub(super) fn open_packed(
        &self,
        file: &Path,
        key: &str,
        name: &str,
        classes: usize,
        purpose: Purpose,
    ) -> Result<Splits> {
        pack::open(file, key, name, classes, self, purpose == Purpose::Crops)
    }

    /// Checks the memory that images need against the limit and the machine. `images` describes them.
    fn check_memory(&self, key: &str, images: &str, bytes: usize) -> Result<()> {
        if bytes > self.memory_gb.saturating_mul(1_000_000_000) {
            return Err(Error::value(
                format!("{key}.images.memory_gb"),
                self.memory_gb,
                format!(
                    "more, or a smaller `side`: {images} need {:.1} MB; `storage = \"stream\"` needs \
                     no memory for them",
                    bytes as f64 / 1e6
                ),
            ));
        }
        memory::require(bytes, images, &format!("use a smaller `{key}.images.side`"))
    }

    /// Resizes and crops an image `[H, W, 3]` of `[width, height]` pixels to `target`, `[side, side, 3]`.
    pub(crate) fn fit(
        &self,
        pixels: &[u8],
        size: [u32; 2],
        resizer: &mut Resizer,
        target: &mut [u8],
    ) {
        fit_pixels(pixels, size, self.resized_side(), self.side, resizer, target);
    }

    /// The image `[H, W, 3]` of `[width, height]` pixels that random crops are drawn from.
    pub(crate) fn original<'a>(
        &self,
        pixels: &'a [u8],
        size: [u32; 2],
        resizer: &mut Resizer,
        target: &'a mut Vec<u8>,
    ) -> Picture<'a> {
        let (pixels, size) = match self.crop_from {
            Some(shorter) => shrink(pixels, size, shorter, resizer, target),
            None => (pixels, size),
        };
        let [width, height] = size.map(|side| side as usize);
        Picture { pixels, height, width }
    }
}
