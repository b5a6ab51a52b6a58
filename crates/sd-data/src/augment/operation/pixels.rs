//! The pixels that operations change.

use crate::ImageShape;

/// An image of bytes, `[H, W, C]`, and a second buffer for operations that cannot work in place.
#[derive(Debug)]
pub(in crate::augment) struct Pixels {
    shape: ImageShape,
    values: Vec<u8>,
    spare: Vec<u8>,
}

impl Pixels {
    /// Allocates on the first fill.
    pub(in crate::augment) fn new(shape: ImageShape) -> Self {
        Self { shape, values: Vec::new(), spare: Vec::new() }
    }

    pub(in crate::augment) fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Empty before the image is filled.
    pub(in crate::augment) fn values(&self) -> &[u8] {
        &self.values
    }

    pub(super) fn values_mut(&mut self) -> &mut [u8] {
        &mut self.values
    }

    /// Fills the image: `write` sets every value.
    pub(in crate::augment) fn fill_with(&mut self, write: impl FnOnce(ImageShape, &mut [u8])) {
        self.values.resize(self.shape.values(), 0);
        write(self.shape, &mut self.values);
    }

    /// Replaces the image: `write` computes every value from the current ones.
    pub(in crate::augment) fn rewrite(&mut self, write: impl FnOnce(ImageShape, &[u8], &mut [u8])) {
        self.spare.resize(self.values.len(), 0);
        write(self.shape, &self.values, &mut self.spare);
        std::mem::swap(&mut self.values, &mut self.spare);
    }

    /// Maps every value by a lookup table of `of`.
    pub(in crate::augment) fn map(&mut self, of: impl Fn(u8) -> u8) {
        let table: [u8; 256] = std::array::from_fn(|value| of(value as u8));
        for value in &mut self.values {
            *value = table[usize::from(*value)];
        }
    }
}
