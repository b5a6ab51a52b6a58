//! Entry point for `fuzz/`.

use super::mapped::Pack;
use super::{MAGIC, splits};
use crate::ImageFilesConfig;
use crate::dataset::fuzzing::{NAME, assert_names_the_file};
use crate::source::{Reader, View};
use std::path::Path;

/// Bytes of a packed file's images.
const IMAGES: usize = 96;

/// A packed file of 2×2 images in two classes: its images in the first 96 bytes, then its index.
pub fn packed(bytes: &[u8]) {
    let Some((images, index)) = bytes.split_at_checked(IMAGES) else { return };
    let offset = (MAGIC.len() + IMAGES) as u64;
    let file = [
        &MAGIC[..],
        images,
        index,
        &offset.to_le_bytes(),
        &(index.len() as u64).to_le_bytes(),
        &crc32fast::hash(index).to_le_bytes(),
        MAGIC,
    ]
    .concat();
    let pack = Pack::of_bytes(Path::new(NAME), &file);
    let opened = match splits(pack, "data.dataset", "a", 2, &ImageFilesConfig::new(2), true) {
        Ok(opened) => opened,
        Err(error) => return assert_names_the_file(&error),
    };
    let mut reader = Reader::default();
    for (_, set) in opened.named() {
        for index in set.shuffled(0, 0) {
            for view in [View::Fitted, View::Original] {
                match set.read(index, view, &mut reader) {
                    Ok(picture) => {
                        let values = picture.height * picture.width * 3;
                        assert!(values > 0 && picture.pixels.len() == values);
                    }
                    Err(error) => assert_names_the_file(&error),
                }
            }
        }
    }
}
