//! Tells one data set from another.

use std::fmt;

use sd_data::{Data, ImageSet};
use serde::{Deserialize, Serialize};

/// The images and classes of a run. A resumed run goes on with the same: another training split
/// would teach something else, another validation split choose another best epoch, and another test
/// split score something else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// To train on.
    pub train: Print,
    /// To validate on, if there is such a split.
    pub valid: Option<Print>,
    /// To test on.
    pub test: Print,
    /// The names of the classes, in the order of the labels.
    pub classes: Print,
}

/// How many there are, and their CRC-32 in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    /// How many.
    pub count: usize,
    /// See [`ImageSet::checksum`].
    pub checksum: u32,
}

impl From<&Data> for Fingerprint {
    fn from(data: &Data) -> Self {
        Self {
            train: Print::images(&data.train),
            valid: data.valid.as_deref().map(Print::images),
            test: Print::images(&data.test),
            classes: Print::names(data.train.class_names()),
        }
    }
}

impl Print {
    fn images(images: &ImageSet) -> Self {
        Self { count: images.len(), checksum: images.checksum() }
    }

    fn names(names: &[String]) -> Self {
        let checksum = names.iter().fold(0, |so_far, name| {
            // With its length, so that a letter belongs to one name.
            let length = (name.len() as u64).to_le_bytes();
            crc32c::crc32c_append(crc32c::crc32c_append(so_far, &length), name.as_bytes())
        });
        Self { count: names.len(), checksum }
    }
}

impl fmt::Display for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of checksum {:08x}", self.count, self.checksum)
    }
}

impl Fingerprint {
    /// What is another `now`, in words.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let parts = [
            ("images to train on", Some(self.train), Some(now.train)),
            ("images to validate on", self.valid, now.valid),
            ("images to test on", Some(self.test), Some(now.test)),
            ("class names", Some(self.classes), Some(now.classes)),
        ];
        let (what, then, now) = parts.into_iter().find(|(_, then, now)| then != now)?;
        let said = |print: Option<Print>| {
            print.map_or_else(|| "none".to_owned(), |print| print.to_string())
        };
        Some(format!("{what}: {} then, {} now", said(then), said(now)))
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

    /// Of two images a split, but for the changes.
    fn data(train: ImageSet, valid: Option<ImageSet>, test: ImageSet) -> Fingerprint {
        let normalization = Normalization { mean: vec![0.0], deviation: vec![1.0] };
        let data = Data {
            train: train.into(),
            valid: valid.map(Into::into),
            test: test.into(),
            normalization,
        };
        Fingerprint::from(&data)
    }

    #[test]
    fn another_split_or_class_is_named() {
        let same = || set([1, 2], ["ab", "c"]);
        let first = data(same(), Some(same()), same());
        let said = |then: Fingerprint| then.difference(&first);
        assert_eq!(said(data(same(), Some(same()), same())), None);

        let other = || set([1, 3], ["ab", "c"]);
        for (then, what) in [
            (data(other(), Some(same()), same()), "images to train on: 2 of checksum "),
            (data(same(), Some(other()), same()), "images to validate on: 2 of checksum "),
            (data(same(), None, same()), "images to validate on: none then, 2 of checksum "),
            (data(same(), Some(same()), other()), "images to test on: 2 of checksum "),
            (data(set([1, 2], ["a", "bc"]), Some(same()), same()), "class names: 2 of checksum "),
        ] {
            let said = said(then).unwrap();
            assert!(said.starts_with(what) && said.ends_with(" now"), "{said}");
        }
        let labels = |labels| {
            let names = ["ab", "c"].map(str::to_owned).to_vec();
            ImageSet::new(ImageShape::new(1, 1, 1), vec![1, 2], labels, names).unwrap()
        };
        assert!(said(data(same(), Some(labels(vec![1, 0])), same())).is_some());
    }
}
