//! Fingerprint of a data set.

use std::fmt;

use sd_data::{Data, ImageSet};
use serde::{Deserialize, Serialize};

/// Checksums of the images and classes of a run. A resumed run must have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Training images.
    pub train: Checksum,
    /// Validation images, if there is such a split.
    pub valid: Option<Checksum>,
    /// Test images, if there is such a split.
    pub test: Option<Checksum>,
    /// Class names, in the order of the labels.
    pub classes: Checksum,
}

/// Number of items, and their CRC-32 (of class names CRC-32C) in order. Images have one of their
/// pixels, if they were decoded, and one of their files, if they have their own; the first that both
/// sides have is compared.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Checksum {
    /// Number of items.
    pub count: usize,
    /// See [`ImageSet::checksum`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<u32>,
    /// See [`ImageSet::checksum_of_files`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u32>,
}

impl PartialEq for Checksum {
    fn eq(&self, other: &Self) -> bool {
        let same = match (self.checksum, other.checksum) {
            (Some(checksum), Some(other)) => checksum == other,
            _ => self.files == other.files,
        };
        self.count == other.count && same
    }
}

impl Eq for Checksum {}

impl From<&Data> for Fingerprint {
    fn from(data: &Data) -> Self {
        Self {
            train: Checksum::images(&data.train),
            valid: data.valid.as_deref().map(Checksum::images),
            test: data.test.as_deref().map(Checksum::images),
            classes: Checksum::names(data.train.class_names()),
        }
    }
}

impl Checksum {
    fn images(images: &ImageSet) -> Self {
        let (checksum, files) = (images.checksum(), images.checksum_of_files());
        Self { count: images.len(), checksum, files }
    }

    fn names(names: &[String]) -> Self {
        let checksum = names.iter().fold(0, |crc, name| {
            // The length tells ["ab", "c"] from ["a", "bc"].
            let length = (name.len() as u64).to_le_bytes();
            crc32c::crc32c_append(crc32c::crc32c_append(crc, &length), name.as_bytes())
        });
        Self { count: names.len(), checksum: Some(checksum), files: None }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checksum = self.checksum.or(self.files).unwrap_or_default();
        write!(f, "{} of checksum {checksum:08x}", self.count)
    }
}

impl Fingerprint {
    /// Describes the first difference to `now`.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let parts = [
            ("training images", Some(self.train), Some(now.train)),
            ("validation images", self.valid, now.valid),
            ("test images", self.test, now.test),
            ("class names", Some(self.classes), Some(now.classes)),
        ];
        let (what, then, now) = parts.into_iter().find(|(_, then, now)| then != now)?;
        let describe = |checksum: Option<Checksum>| {
            checksum.map_or_else(|| "none".to_owned(), |checksum| checksum.to_string())
        };
        Some(format!("{what}: {} then, {} now", describe(then), describe(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sd_data::{ImageShape, Normalization};

    fn set(pixels: [u8; 2], names: [&str; 2]) -> ImageSet {
        let names = names.map(str::to_owned).to_vec();
        ImageSet::new(ImageShape::new(1, 1, 1), pixels.to_vec(), vec![0, 1], names).unwrap()
    }

    /// Fingerprint of these splits.
    fn data(train: ImageSet, valid: Option<ImageSet>, test: ImageSet) -> Fingerprint {
        let normalization = Normalization { mean: vec![0.0], deviation: vec![1.0] };
        let data = Data {
            train: train.into(),
            valid: valid.map(Into::into),
            test: Some(test.into()),
            normalization,
        };
        Fingerprint::from(&data)
    }

    #[test]
    fn a_changed_split_or_class_is_named() {
        let same = || set([1, 2], ["ab", "c"]);
        let first = data(same(), Some(same()), same());
        let difference = |then: Fingerprint| then.difference(&first);
        assert_eq!(difference(data(same(), Some(same()), same())), None);

        let other = || set([1, 3], ["ab", "c"]);
        for (then, what) in [
            (data(other(), Some(same()), same()), "training images: 2 of checksum "),
            (data(same(), Some(other()), same()), "validation images: 2 of checksum "),
            (data(same(), None, same()), "validation images: none then, 2 of checksum "),
            (data(same(), Some(same()), other()), "test images: 2 of checksum "),
            (data(set([1, 2], ["a", "bc"]), Some(same()), same()), "class names: 2 of checksum "),
        ] {
            let text = difference(then).unwrap();
            assert!(text.starts_with(what) && text.ends_with(" now"), "{text}");
        }
        let labels = |labels| {
            let names = ["ab", "c"].map(str::to_owned).to_vec();
            ImageSet::new(ImageShape::new(1, 1, 1), vec![1, 2], labels, names).unwrap()
        };
        assert!(difference(data(same(), Some(labels(vec![1, 0])), same())).is_some());
    }

    #[test]
    fn decoded_images_are_compared_with_those_in_files() {
        let of = |checksum, files| Checksum { count: 2, checksum, files };
        let (decoded, in_files) = (of(Some(1), Some(2)), of(None, Some(2)));
        assert_eq!(decoded, in_files);
        assert_ne!(decoded, of(Some(3), Some(2)), "the pixels count");
        assert_ne!(in_files, of(Some(1), Some(3)));
        assert_ne!(in_files, of(Some(1), None));
        // As before there were files in it.
        let old: Checksum = serde_json::from_str(r#"{"count":2,"checksum":1}"#).unwrap();
        assert_eq!(old, decoded);
        assert_eq!(serde_json::to_string(&old).unwrap(), r#"{"count":2,"checksum":1}"#);
    }
}
