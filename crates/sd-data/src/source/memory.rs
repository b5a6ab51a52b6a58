//! Pixels in memory.

use super::{Picture, Reader, Source, View};
use crate::{ImageShape, Result};

/// Images in memory.
#[derive(Debug)]
pub(crate) struct Memory {
    shape: ImageShape,
    /// `[N, H, W, C]`
    pixels: Vec<u8>,
    /// One per image, or empty.
    originals: Vec<Original>,
}

/// An image before it was resized, `[height, width, 3]`.
#[derive(Debug, Default)]
pub(crate) struct Original {
    pub(crate) pixels: Vec<u8>,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Memory {
    /// `originals` holds one per image, or none.
    pub(crate) fn new(shape: ImageShape, pixels: Vec<u8>, originals: Vec<Original>) -> Self {
        Self { shape, pixels, originals }
    }

    fn fitted(&self, index: usize) -> &[u8] {
        let values = self.shape.values();
        &self.pixels[index * values..(index + 1) * values]
    }
}

impl Source for Memory {
    fn read<'a>(&'a self, index: usize, view: View, _: &'a mut Reader) -> Result<Picture<'a>> {
        let original = self.originals.get(index).filter(|_| view == View::Original);
        Ok(match original {
            Some(&Original { ref pixels, height, width }) => Picture { pixels, height, width },
            None => Picture::new(self.fitted(index), self.shape),
        })
    }

    fn is_resident(&self) -> bool {
        true
    }

    fn pixels(&self, index: usize) -> Option<&[u8]> {
        Some(self.fitted(index))
    }
}
