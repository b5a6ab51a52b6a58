//! Images with a border.

use super::{Picture, Reader, Source, View};
use crate::{ImageShape, Result};
use std::sync::Arc;

/// The images of another source with a black border on each side.
#[derive(Debug)]
pub(crate) struct Bordered {
    pub(crate) inner: Arc<dyn Source>,
    pub(crate) border: usize,
    /// With the border.
    pub(crate) shape: ImageShape,
}

impl Source for Bordered {
    fn read<'a>(&'a self, index: usize, _: View, reader: &'a mut Reader) -> Result<Picture<'a>> {
        let ImageShape { channels, width, .. } = self.shape;
        let mut bordered = std::mem::take(&mut reader.bordered);
        bordered.clear();
        bordered.resize(self.shape.values(), 0);
        let image = self.inner.read(index, View::Fitted, reader)?;
        let (row, bordered_row) = (image.width * channels, width * channels);
        let inner = &mut bordered[self.border * bordered_row..];
        for (from, to) in image.pixels.chunks_exact(row).zip(inner.chunks_exact_mut(bordered_row)) {
            to[self.border * channels..][..row].copy_from_slice(from);
        }
        reader.bordered = bordered;
        Ok(Picture::new(&reader.bordered, self.shape))
    }

    fn is_encoded(&self) -> bool {
        self.inner.is_encoded()
    }
}
