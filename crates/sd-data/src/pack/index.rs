//! The index of a packed file.

use super::PackForm;
use crate::image_set::{EpochOrder, ImageFile};
use crate::split::Split;
use crate::{BrokenFile, Error, ImageFilesConfig, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a packed file contains.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) settings: Settings,
    pub(super) class_names: Vec<String>,
    pub(super) splits: Vec<PackedSplit>,
    pub(super) skipped: Vec<BrokenFile>,
}

/// What the packed images depend on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// Name in records.
    pub(super) data_set: String,
    pub(super) form: PackForm,
    pub(super) side: usize,
    pub(super) shorter_side: usize,
    /// Whether training images have their own size, or this shorter side.
    pub(super) crops: bool,
    pub(super) crop_from: Option<usize>,
}

/// The images of a split.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PackedSplit {
    pub(super) split: Split,
    pub(super) order: EpochOrder,
    pub(super) images: Vec<Entry>,
}

/// A packed image.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) file: ImageFile,
    pub(super) label: usize,
    /// CRC-32 of its pixels in the shape of the data set.
    pub(super) pixels: u32,
    /// Position of its bytes in the file, their number, and their CRC-32.
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) checksum: u32,
    /// Height and width of the pixels for crops, if there are any. They follow those of `pixels`.
    pub(super) original: Option<[u32; 2]>,
}

impl Entry {
    /// Bytes of its pixels in a data set of this side; `None` for pixels without a value, or too many.
    pub(super) fn pixel_bytes(&self, side: usize) -> Option<u64> {
        let values = |height: u64, width: u64| {
            height.checked_mul(width)?.checked_mul(3).filter(|&values| values > 0)
        };
        let fitted = values(side as u64, side as u64)?;
        match self.original {
            None => Some(fitted),
            Some([height, width]) => fitted.checked_add(values(height.into(), width.into())?),
        }
    }
}

impl Settings {
    pub(super) fn new(
        data_set: String,
        form: PackForm,
        images: &ImageFilesConfig,
        crops: bool,
    ) -> Self {
        let (side, shorter_side, crop_from) =
            (images.side, images.resized_side(), images.crop_from);
        Self { data_set, form, side, shorter_side, crops, crop_from }
    }

    /// Checks that images were packed for a configuration.
    pub(super) fn check(
        &self,
        path: &Path,
        name: &str,
        images: &ImageFilesConfig,
        crops: bool,
    ) -> Result<()> {
        let asked = Self::new(name.to_owned(), self.form, images, crops);
        // Files serve any size.
        let same_size = self.form == PackForm::Files
            || (self.side, self.shorter_side, self.crop_from)
                == (asked.side, asked.shorter_side, asked.crop_from)
                && self.crops >= crops;
        let same_checksums = (self.side, self.shorter_side) == (asked.side, asked.shorter_side);
        if self.data_set == asked.data_set && same_size && same_checksums {
            return Ok(());
        }
        let expected = format!("{}, as configured; run `data pack` again", asked.describe());
        Err(Error::folder(path, self.describe(), expected))
    }

    fn describe(&self) -> String {
        let Self { data_set, side, shorter_side, crops, crop_from, .. } = self;
        let crops = match (crops, crop_from) {
            (false, _) => "without pixels for random_resized_crop".to_owned(),
            (true, None) => "with all pixels for random_resized_crop".to_owned(),
            (true, Some(from)) => format!("with `crop_from = {from}`"),
        };
        format!("`{data_set}` with side {side} and shorter side {shorter_side}, {crops}")
    }
}
