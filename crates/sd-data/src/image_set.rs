//! Images and their labels.

mod contents;
mod epoch_order;

pub(crate) use epoch_order::EpochOrder;

use crate::source::{Bordered, Memory, Picture, Reader, Source, View};
use crate::{Error, Result};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The size of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// Values per pixel: 1 for greyscale, 3 for RGB.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

impl ImageShape {
    /// `channels` × `height` × `width`.
    pub const fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    /// Values per image: channels · height · width, saturating.
    pub const fn values(&self) -> usize {
        self.channels.saturating_mul(self.height).saturating_mul(self.width)
    }

    /// The shape with a border of `border` pixels on each side.
    pub const fn padded(&self, border: usize) -> Self {
        let both = border.saturating_mul(2);
        Self {
            channels: self.channels,
            height: self.height.saturating_add(both),
            width: self.width.saturating_add(both),
        }
    }

    /// Converts an image of this shape, `[H, W, C]`, to RGB. Unless it has three channels, the
    /// first one is shown as greyscale.
    ///
    /// # Panics
    /// If `pixels` has fewer than [`values`](Self::values) values.
    pub fn picture(&self, pixels: &[u8]) -> RgbImage {
        RgbImage::from_fn(self.width as u32, self.height as u32, |x, y| {
            let at = (y as usize * self.width + x as usize) * self.channels;
            match pixels[at..at + self.channels] {
                [red, green, blue] => image::Rgb([red, green, blue]),
                _ => image::Rgb([pixels[at]; 3]),
            }
        })
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}×{}×{}", self.channels, self.height, self.width)
    }
}

/// Images of one shape with their labels, such as a split of a data set.
///
/// An image is bytes in `[H, W, C]` order. It is in memory, or it is read and decoded each time. A label
/// is a number below [`classes`](Self::classes). Sets made from one another share their images.
#[derive(Clone, Debug)]
pub struct ImageSet {
    shape: ImageShape,
    source: Arc<dyn Source>,
    /// Index in `source` of each image.
    members: Vec<u32>,
    labels: Vec<usize>,
    class_names: Vec<String>,
    /// One per image, or empty.
    files: Vec<ImageFile>,
    order: EpochOrder,
}

/// The file of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageFile {
    /// Relative to the data set's folder, with `/` as separator.
    pub(crate) name: String,
    /// Its size.
    pub(crate) bytes: u64,
}

impl ImageSet {
    /// A set of `labels.len()` images in `class_names.len()` classes; `pixels` is `[N, H, W, C]`.
    ///
    /// # Errors
    /// If a side of `shape` is zero, `pixels` does not hold `labels.len()` images, or a label is not
    /// below the number of classes.
    pub fn new(
        shape: ImageShape,
        pixels: Vec<u8>,
        labels: Vec<usize>,
        class_names: Vec<String>,
    ) -> Result<Self> {
        if Some(pixels.len()) != labels.len().checked_mul(shape.values()) {
            let found = format!("{} pixel values", pixels.len());
            let expected = format!("{} labels × {shape} values", labels.len());
            return Err(Error::image_set(found, expected));
        }
        let source = Arc::new(Memory::new(shape, pixels, Vec::new()));
        Self::of_source(shape, source, labels, class_names)
    }

    /// A set of the first `labels.len()` images of `source`, which are of this shape.
    ///
    /// # Errors
    /// If a side of `shape` is zero, or a label is not below the number of classes.
    pub(crate) fn of_source(
        shape: ImageShape,
        source: Arc<dyn Source>,
        labels: Vec<usize>,
        class_names: Vec<String>,
    ) -> Result<Self> {
        if shape.values() == 0 {
            let found = format!("images of {shape} values");
            return Err(Error::image_set(found, "at least one value"));
        }
        let classes = class_names.len();
        if let Some(index) = labels.iter().position(|&label| label >= classes) {
            let found = format!("label {} at index {index}", labels[index]);
            let expected = format!("labels below the number of classes, {classes}");
            return Err(Error::image_set(found, expected));
        }
        let Ok(count) = u32::try_from(labels.len()) else {
            let expected = format!("at most {}", u32::MAX);
            return Err(Error::image_set(format!("{} images", labels.len()), expected));
        };
        let (members, files, order) = ((0..count).collect(), Vec::new(), EpochOrder::default());
        Ok(Self { shape, source, members, labels, class_names, files, order })
    }

    /// The set with the file of each image.
    pub(crate) fn with_files(self, files: Vec<ImageFile>) -> Self {
        Self { files, ..self }
    }

    /// The set with another order of shuffled epochs.
    pub(crate) fn with_order(self, order: EpochOrder) -> Self {
        Self { order, ..self }
    }

    pub(crate) fn order(&self) -> &EpochOrder {
        &self.order
    }

    /// Name and size of the file of image `index`; empty if it has none.
    pub(crate) fn file_of(&self, index: usize) -> (&str, u64) {
        self.files.get(index).map_or(("", 0), |file| (file.name.as_str(), file.bytes))
    }

    /// The shape of each image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether the set has no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Whether no image has to be decoded when it is read.
    pub fn is_in_memory(&self) -> bool {
        !self.source.is_encoded()
    }

    /// Whether this process's own memory holds the pixels.
    pub(crate) fn is_resident(&self) -> bool {
        self.source.is_resident()
    }

    /// The pixels of image `index`, `[H, W, C]`.
    ///
    /// # Errors
    /// If its file cannot be read as an image; the error names it.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        match self.source.pixels(self.members[index] as usize) {
            Some(pixels) => Ok(Cow::Borrowed(pixels)),
            None => {
                let mut reader = Reader::default();
                let picture = self.read(index, View::Fitted, &mut reader)?;
                Ok(Cow::Owned(picture.pixels.to_vec()))
            }
        }
    }

    /// As [`image`](Self::image), in memory that `reader` reuses.
    pub(crate) fn read<'a>(
        &'a self,
        index: usize,
        view: View,
        reader: &'a mut Reader,
    ) -> Result<Picture<'a>> {
        self.source.read(self.members[index] as usize, view, reader)
    }

    /// The label of image `index`.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn label(&self, index: usize) -> usize {
        self.labels[index]
    }

    /// The file of image `index`, relative to the data set's folder, if each image has its own file.
    pub fn file(&self, index: usize) -> Option<&str> {
        self.files.get(index).map(|file| file.name.as_str())
    }

    /// The labels of all images.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// A copy of the pixels of all images, `[N, H, W, C]`.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn pixels(&self) -> Result<Vec<u8>> {
        let mut pixels = Vec::with_capacity(self.len() * self.shape.values());
        let mut reader = Reader::default();
        for index in 0..self.len() {
            pixels.extend_from_slice(self.read(index, View::Fitted, &mut reader)?.pixels);
        }
        Ok(pixels)
    }

    /// The class names, by label.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The number of images of each class, by label.
    pub fn of_class(&self) -> Vec<usize> {
        let mut of_class = vec![0; self.classes()];
        for &label in &self.labels {
            of_class[label] += 1;
        }
        of_class
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// The images at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            shape: self.shape,
            source: Arc::clone(&self.source),
            members: indices.iter().map(|&index| self.members[index]).collect(),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            class_names: self.class_names.clone(),
            files: indices.iter().filter_map(|&index| self.files.get(index).cloned()).collect(),
            order: self.order.select(indices),
        }
    }

    /// Up to `count` images that alternate between the classes and are spread evenly over the set. With
    /// more classes than `count`, the classes are spread evenly as well.
    #[must_use]
    pub fn class_by_class(&self, count: usize) -> Self {
        let mut of_class = vec![Vec::new(); self.classes()];
        for (index, &label) in self.labels.iter().enumerate() {
            of_class[label].push(index);
        }
        of_class.retain(|members| !members.is_empty());
        let rounds = count.div_ceil(of_class.len().max(1));
        let step = (of_class.len() / count.max(1)).max(1);
        let mut chosen = Vec::new();
        for round in 0..rounds {
            for members in of_class.iter().step_by(step) {
                if members.len() > round {
                    chosen.push(members[round * members.len() / rounds.min(members.len())]);
                }
            }
        }
        chosen.truncate(count);
        self.select(&chosen)
    }

    /// The images with a border of `border` black pixels on each side; copied if this process's own
    /// memory holds them.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn padded(&self, border: usize) -> Result<Self> {
        let shape = self.shape.padded(border);
        let source = Bordered { inner: Arc::clone(&self.source), border, shape };
        let padded = Self { shape, source: Arc::new(source), ..self.clone() };
        if !self.is_resident() {
            return Ok(padded);
        }
        let source = Arc::new(Memory::new(shape, padded.pixels()?, Vec::new()));
        Ok(Self { source, members: (0..self.len() as u32).collect(), ..padded })
    }

    /// The indices of the images in the order of a shuffled epoch.
    pub(crate) fn shuffled(&self, seed: u64, epoch: u64) -> Vec<usize> {
        self.order.shuffled(self.len(), seed, epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(classes: usize) -> Vec<String> {
        (0..classes).map(|class| class.to_string()).collect()
    }

    #[test]
    fn inconsistent_parts_are_rejected() {
        let shape = ImageShape::new(3, 2, 2);
        let error = ImageSet::new(shape, vec![0; 23], vec![0, 1], names(2)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "image set: found 23 pixel values, expected 2 labels × 3×2×2 values"
        );
        let error = ImageSet::new(shape, vec![0; 24], vec![0, 2], names(2)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "image set: found label 2 at index 1, expected labels below the number of classes, 2"
        );
        let error = ImageSet::new(ImageShape::new(3, 0, 2), vec![], vec![], names(2)).unwrap_err();
        assert!(error.to_string().contains("3×0×2"), "{error}");
    }

    #[test]
    fn select_keeps_images_with_their_labels() {
        let shape = ImageShape::new(1, 1, 2);
        let set =
            ImageSet::new(shape, vec![0, 1, 10, 11, 20, 21], vec![2, 0, 1], names(3)).unwrap();
        let files = names(3).into_iter().map(|name| ImageFile { name, bytes: 0 });
        let set = set.with_files(files.collect());
        let two = set.select(&[2, 0]);
        assert_eq!(two.pixels().unwrap(), [20, 21, 0, 1]);
        assert_eq!(two.labels(), [1, 2]);
        assert_eq!(two.class_names(), set.class_names());
        assert_eq!((two.file(0), two.file(1), two.file(2)), (Some("2"), Some("0"), None));
        assert_eq!(two.select(&[1]), set.select(&[0]));
    }

    #[test]
    fn class_by_class_alternates_between_classes() {
        // Classes 0, 1, 2, …, 4, 0, …: ten of each.
        let labels = (0..50).map(|index| index % 5).collect();
        let set = ImageSet::new(ImageShape::new(1, 1, 1), (0..50).collect(), labels, names(5));
        let set = set.unwrap();
        assert_eq!(set.class_by_class(7).labels(), [0, 1, 2, 3, 4, 0, 1]);
        assert_eq!(set.class_by_class(7).pixels().unwrap(), [0, 1, 2, 3, 4, 25, 26]);
        assert_eq!(set.class_by_class(2).labels(), [0, 2]);
        assert!(set.class_by_class(60).pixels().unwrap().into_iter().eq(0..50), "each image once");
        assert!(set.class_by_class(0).is_empty());
    }

    #[test]
    fn padding_adds_a_black_border() {
        let shape = ImageShape::new(2, 1, 2);
        let set =
            ImageSet::new(shape, vec![1, 2, 3, 4], vec![0], names(1)).unwrap().padded(1).unwrap();
        assert_eq!(set.shape(), ImageShape::new(2, 3, 4));
        #[rustfmt::skip]
        assert_eq!(*set.image(0).unwrap(), [
            0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 1, 2, 3, 4, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0,
        ]);
    }
}
