//! What an image set contains: passes over all of its images.

use super::ImageSet;
use crate::source::{Reader, View};
use crate::{Error, Result};
use crc32fast::Hasher;
use rayon::prelude::*;

impl ImageSet {
    /// Applies `of` to the pixels of every image, on all cores.
    ///
    /// # Errors
    /// If images cannot be read; the error names all of them.
    pub(crate) fn map<T: Send>(&self, of: impl Fn(&[u8]) -> T + Sync) -> Result<Vec<T>> {
        let read = |reader: &mut Reader, index| {
            self.read(index, View::Fitted, reader).map(|picture| of(picture.pixels))
        };
        let images = (0..self.len()).into_par_iter();
        let read: Vec<Result<T>> = images.map_init(Reader::default, read).collect();
        let (mut values, mut files) = (Vec::with_capacity(self.len()), Vec::new());
        for value in read {
            match value {
                Ok(value) => values.push(value),
                Err(Error::Image(file)) => files.push(file),
                Err(other) => return Err(other),
            }
        }
        let advice = "repair or remove them".to_owned();
        if files.is_empty() {
            Ok(values)
        } else {
            Err(Error::Broken { files, total: self.len(), advice })
        }
    }

    /// Reads every image before it is resized, on the current thread pool: the work that bounds a
    /// loader of images that are decoded.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn decode_all(&self) -> Result<()> {
        let read =
            |reader: &mut Reader, index| self.read(index, View::Original, reader).map(|_| ());
        (0..self.len()).into_par_iter().map_init(Reader::default, read).collect()
    }

    /// CRC-32 of the pixels of each image.
    ///
    /// # Errors
    /// If images cannot be read; the error names all of them.
    pub(crate) fn checksums(&self) -> Result<Vec<u32>> {
        let recorded = |&member: &u32| self.source.checksum(member as usize);
        let recorded: Option<Vec<u32>> = self.members.iter().map(recorded).collect();
        recorded.map_or_else(|| self.map(crc32fast::hash), Ok)
    }

    /// CRC-32 of all images and labels. Tells data sets apart; not a cryptographic proof. `None` if
    /// every image would have to be decoded first.
    pub fn checksum(&self) -> Option<u32> {
        let mut hasher = Hasher::new();
        for &member in &self.members {
            match self.source.checksum(member as usize) {
                Some(image) => {
                    let length = self.shape.values() as u64;
                    hasher.combine(&Hasher::new_with_initial_len(image, length));
                }
                None => hasher.update(self.source.pixels(member as usize)?),
            }
        }
        Some(self.with_labels(hasher))
    }

    /// CRC-32 of the names and sizes of the images' files, and of the labels, if each image has its own
    /// file. Needs no image to be read, and so is weaker than [`checksum`](Self::checksum).
    pub fn checksum_of_files(&self) -> Option<u32> {
        let mut hasher = Hasher::new();
        for file in &self.files {
            // The length tells ["ab", "c"] from ["a", "bc"].
            hasher.update(&(file.name.len() as u64).to_le_bytes());
            hasher.update(file.name.as_bytes());
            hasher.update(&file.bytes.to_le_bytes());
        }
        (self.files.len() == self.len()).then(|| self.with_labels(hasher))
    }

    fn with_labels(&self, mut hasher: Hasher) -> u32 {
        for label in &self.labels {
            hasher.update(&label.to_le_bytes());
        }
        hasher.finalize()
    }
}

/// Compares all pixels, which reads both sets. Sets with an unreadable image equal no other.
impl PartialEq for ImageSet {
    fn eq(&self, other: &Self) -> bool {
        let about = |set: &Self| (set.shape, set.labels.clone(), set.class_names.clone());
        about(self) == about(other)
            && self.files == other.files
            && (0..self.len()).all(|index| match (self.image(index), other.image(index)) {
                (Ok(one), Ok(two)) => one == two,
                _ => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageShape;

    #[test]
    fn checksums_of_images_are_those_of_the_whole() {
        let names = ["cat", "dog"].map(str::to_owned).to_vec();
        let pixels: Vec<u8> = (0..24).collect();
        let set = ImageSet::new(ImageShape::new(3, 2, 2), pixels.clone(), vec![1, 0], names);
        let set = set.unwrap();
        let labels = [1_usize, 0].map(usize::to_le_bytes);
        let whole = crc32fast::hash(&[&pixels, labels.as_flattened()].concat());
        assert_eq!(set.checksum(), Some(whole));
        assert_eq!(set.checksums().unwrap(), [&pixels[..12], &pixels[12..]].map(crc32fast::hash));
        assert_eq!(set.checksum_of_files(), None);
        assert_ne!(set.select(&[1, 0]).checksum(), Some(whole));
    }
}
