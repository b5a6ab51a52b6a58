//! Image files that are decoded when they are needed.

use super::{Original, Picture, Reader, Source, View};
use crate::{BrokenFile, Error, ImageFilesConfig, Result};
use sd_image::{Bounds, decode_rgb};
use std::fmt::Debug;
use std::path::PathBuf;

/// Maximum bytes of a file and of its decoded image: 89 megapixels of RGB.
pub(crate) const MAX_BYTES: u64 = 256 << 20;
pub(crate) const BOUNDS: Bounds = Bounds { bytes: MAX_BYTES, side: u32::MAX, pixels: u64::MAX };

/// Image files, by index.
pub(crate) trait EncodedFiles: Debug + Send + Sync {
    /// Returns the bytes of a file, from where they are or read into `bytes`, or why it cannot.
    fn bytes<'a>(
        &'a self,
        index: usize,
        bytes: &'a mut Vec<u8>,
    ) -> std::result::Result<&'a [u8], String>;

    /// Path of a file, and its line in a CSV file, for errors.
    fn place(&self, index: usize) -> (PathBuf, Option<u64>);

    /// CRC-32 of the pixels of an image as [`View::Fitted`], if it is recorded.
    fn checksum(&self, _index: usize) -> Option<u32> {
        None
    }
}

/// Images that are decoded from their files each time.
#[derive(Debug)]
pub(crate) struct Encoded<F> {
    pub(crate) files: F,
    pub(crate) images: ImageFilesConfig,
}

impl<F: EncodedFiles> Encoded<F> {
    /// Writes an image to `fitted`, `[side, side, 3]`, and also returns its original if it is wanted.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn decode(
        &self,
        index: usize,
        reader: &mut Reader,
        fitted: &mut [u8],
        wants_original: bool,
    ) -> std::result::Result<Option<Original>, String> {
        let size = self.decode_file(index, reader)?;
        let Reader { decoded, resized, resizer, .. } = reader;
        self.images.fit(decoded, size, resizer, fitted);
        Ok(wants_original.then(|| {
            let Picture { pixels, height, width } =
                self.images.original(decoded, size, resizer, resized);
            Original { pixels: pixels.to_vec(), height, width }
        }))
    }

    /// Decodes a file into `reader.decoded`. Returns its width and height, or why it cannot be read.
    fn decode_file(
        &self,
        index: usize,
        reader: &mut Reader,
    ) -> std::result::Result<[u32; 2], String> {
        let bytes = self.files.bytes(index, &mut reader.file)?;
        decode_rgb(bytes, BOUNDS, &mut reader.decoded).map_err(|error| error.to_string())
    }
}

impl<F: EncodedFiles> Source for Encoded<F> {
    fn read<'a>(&'a self, index: usize, view: View, reader: &'a mut Reader) -> Result<Picture<'a>> {
        let size = self.decode_file(index, reader).map_err(|reason| {
            let (path, line) = self.files.place(index);
            Error::Image(BrokenFile { path, line, reason })
        })?;
        let Reader { decoded, resized, resizer, .. } = reader;
        if view == View::Original {
            return Ok(self.images.original(decoded, size, resizer, resized));
        }
        let shape = self.images.shape();
        resized.resize(shape.values(), 0);
        self.images.fit(decoded, size, resizer, resized);
        Ok(Picture::new(resized, shape))
    }

    fn is_encoded(&self) -> bool {
        true
    }

    fn checksum(&self, index: usize) -> Option<u32> {
        self.files.checksum(index)
    }
}
