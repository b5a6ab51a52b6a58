//! Where the pixels of images are: in memory, or in files that are decoded when they are needed.

mod bordered;
mod encoded;
mod memory;

pub(crate) use bordered::Bordered;
pub(crate) use encoded::{BOUNDS, Encoded, EncodedFiles, MAX_BYTES};
pub(crate) use memory::{Memory, Original};

use crate::{ImageShape, Result};
use sd_image::Resizer;
use std::fmt::Debug;

/// The images of a data set, by index.
pub(crate) trait Source: Debug + Send + Sync {
    /// Reads an image. It may lie in the memory of `reader`.
    ///
    /// # Errors
    /// If its file cannot be read as an image; the error names it.
    fn read<'a>(&'a self, index: usize, view: View, reader: &'a mut Reader) -> Result<Picture<'a>>;

    /// Whether an image is decoded each time it is read.
    fn is_encoded(&self) -> bool {
        false
    }

    /// Whether this process's own memory holds the pixels: neither encoded nor in a mapped file.
    fn is_resident(&self) -> bool {
        false
    }

    /// The pixels of an image as [`View::Fitted`], if they can be had without decoding or copying.
    fn pixels(&self, _index: usize) -> Option<&[u8]> {
        None
    }

    /// CRC-32 of the pixels of an image as [`View::Fitted`], if it is recorded.
    fn checksum(&self, _index: usize) -> Option<u32> {
        None
    }
}

/// How an image is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// In the shape of the data set.
    Fitted,
    /// For crops: before it was resized, if the source has such pixels, otherwise as `Fitted`.
    Original,
}

/// An image of any size, `[H, W, C]`.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    pub(crate) pixels: &'a [u8],
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl<'a> Picture<'a> {
    pub(crate) fn new(pixels: &'a [u8], shape: ImageShape) -> Self {
        Self { pixels, height: shape.height, width: shape.width }
    }
}

/// Memory that a thread reuses from image to image.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    resizer: Resizer,
    /// Bytes of a file.
    pub(crate) file: Vec<u8>,
    decoded: Vec<u8>,
    resized: Vec<u8>,
    bordered: Vec<u8>,
}
