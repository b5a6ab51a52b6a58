//! Images and labels in memory.

use crate::{Error, Result};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::fmt;

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
/// The pixels are raw bytes in `[N, H, W, C]` order. A label is a number below
/// [`classes`](Self::classes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    pub(crate) shape: ImageShape,
    pub(crate) pixels: Vec<u8>,
    pub(crate) labels: Vec<usize>,
    pub(crate) class_names: Vec<String>,
    /// One per image, or empty.
    pub(crate) files: Vec<String>,
}

impl ImageSet {
    /// A set of `labels.len()` images in `class_names.len()` classes.
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
        if shape.values() == 0 {
            let found = format!("images of {shape} values");
            return Err(Error::image_set(found, "at least one value"));
        }
        if Some(pixels.len()) != labels.len().checked_mul(shape.values()) {
            let found = format!("{} pixel values", pixels.len());
            let expected = format!("{} labels × {shape} values", labels.len());
            return Err(Error::image_set(found, expected));
        }
        let classes = class_names.len();
        if let Some(index) = labels.iter().position(|&label| label >= classes) {
            let found = format!("label {} at index {index}", labels[index]);
            let expected = format!("labels below the number of classes, {classes}");
            return Err(Error::image_set(found, expected));
        }
        Ok(Self { shape, pixels, labels, class_names, files: Vec::new() })
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

    /// The pixels of image `index`, `[H, W, C]`.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> &[u8] {
        let values = self.shape.values();
        &self.pixels[index * values..(index + 1) * values]
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
        self.files.get(index).map(String::as_str)
    }

    /// The labels of all images.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The pixels of all images, `[N, H, W, C]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
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

    /// CRC-32 of images and labels. Tells data sets apart; not a cryptographic proof.
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.pixels);
        for label in &self.labels {
            hasher.update(&label.to_le_bytes());
        }
        hasher.finalize()
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// A copy of the images at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * self.shape.values());
        for &index in indices {
            pixels.extend_from_slice(self.image(index));
        }
        Self {
            shape: self.shape,
            pixels,
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            class_names: self.class_names.clone(),
            files: indices.iter().filter_map(|&index| self.files.get(index).cloned()).collect(),
        }
    }

    /// Drops all images but those at `indices`, which must ascend, without a copy of the set.
    pub(crate) fn keep(&mut self, indices: &[usize]) {
        let values = self.shape.values();
        let has_files = !self.files.is_empty();
        for (to, &from) in indices.iter().enumerate().filter(|&(to, &from)| from > to) {
            self.pixels.copy_within(from * values..(from + 1) * values, to * values);
            self.labels[to] = self.labels[from];
            if has_files {
                self.files.swap(to, from);
            }
        }
        self.pixels.truncate(indices.len() * values);
        self.labels.truncate(indices.len());
        self.files.truncate(indices.len());
    }

    /// A copy of up to `count` images that alternate between the classes and are spread evenly over
    /// the set. With more classes than `count`, the classes are spread evenly as well.
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
                    chosen.push(members[round * members.len() / rounds]);
                }
            }
        }
        chosen.truncate(count);
        self.select(&chosen)
    }

    /// A copy with a border of `border` black pixels on each side of every image.
    #[must_use]
    pub fn padded(&self, border: usize) -> Self {
        let shape = self.shape.padded(border);
        let row = self.shape.width * shape.channels;
        let padded_row = shape.width * shape.channels;
        let mut pixels = vec![0; self.len() * shape.values()];
        for (image, padded) in self
            .pixels
            .chunks_exact(self.shape.values())
            .zip(pixels.chunks_exact_mut(shape.values()))
        {
            let inner = &mut padded[border * padded_row..];
            for (from, to) in image.chunks_exact(row).zip(inner.chunks_exact_mut(padded_row)) {
                to[border * shape.channels..][..row].copy_from_slice(from);
            }
        }
        Self {
            shape,
            pixels,
            labels: self.labels.clone(),
            class_names: self.class_names.clone(),
            files: self.files.clone(),
        }
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
        for indices in [&[0, 2][..], &[1, 2], &[], &[0, 1, 2]] {
            let mut kept = ImageSet { files: names(3), ..set.clone() };
            let selected = kept.select(indices);
            kept.keep(indices);
            assert_eq!(kept, selected);
        }
        let two = set.select(&[2, 0]);
        assert_eq!(two.pixels(), [20, 21, 0, 1]);
        assert_eq!(two.labels(), [1, 2]);
        assert_eq!(two.class_names(), set.class_names());
    }

    #[test]
    fn class_by_class_alternates_between_classes() {
        // Classes 0, 1, 2, …, 4, 0, …: ten of each.
        let labels = (0..50).map(|index| index % 5).collect();
        let set = ImageSet::new(ImageShape::new(1, 1, 1), (0..50).collect(), labels, names(5));
        let set = set.unwrap();
        assert_eq!(set.class_by_class(7).labels(), [0, 1, 2, 3, 4, 0, 1]);
        assert_eq!(set.class_by_class(7).pixels(), [0, 1, 2, 3, 4, 25, 26]);
        assert_eq!(set.class_by_class(2).labels(), [0, 2]);
        assert_eq!(set.class_by_class(60).len(), 50);
        assert!(set.class_by_class(0).is_empty());
    }

    #[test]
    fn padding_adds_a_black_border() {
        let shape = ImageShape::new(2, 1, 2);
        let set = ImageSet::new(shape, vec![1, 2, 3, 4], vec![0], names(1)).unwrap().padded(1);
        assert_eq!(set.shape(), ImageShape::new(2, 3, 4));
        #[rustfmt::skip]
        assert_eq!(set.image(0), [
            0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 1, 2, 3, 4, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0,
        ]);
    }
}
