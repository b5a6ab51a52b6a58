//! Checks of a data set: counts, class balance, duplicates, mean and standard deviation.

mod class_counts;
mod text;

pub use crate::split::Split;
pub(crate) use class_counts::ClassCounts;

use crate::normalize::{Sums, sums};
use crate::{BrokenFile, ImageSet, ImageShape, Normalization, Result, Splits};
use serde::Serialize;
use std::collections::HashMap;

/// The check of a data set, before the border.
///
/// Displays as a summary; serialises in full.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Name in records.
    pub dataset: String,
    /// Shape of the images.
    pub shape: ImageShape,
    /// Class names, by label.
    pub classes: Vec<String>,
    /// Splits, in the order train, valid, test.
    pub splits: Vec<SplitCheck>,
    /// Groups of two or more images with identical pixels, within and across splits.
    pub duplicates: Vec<Vec<Place>>,
    /// Skipped files.
    pub skipped: Vec<BrokenFile>,
}

/// The check of a split.
#[derive(Clone, Debug, Serialize)]
pub struct SplitCheck {
    /// The split.
    pub split: Split,
    /// Number of images.
    pub images: usize,
    /// Number of images per class, by label.
    pub of_class: Vec<usize>,
    /// Mean per channel, between 0 and 1.
    pub mean: Vec<f32>,
    /// Population standard deviation per channel.
    pub deviation: Vec<f32>,
}

/// The location of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its split.
    pub split: Split,
    /// Its index in the split.
    pub index: usize,
    /// Its file, relative to the data set, if each image has its own file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its class, an index into [`Check::classes`].
    pub label: usize,
}

/// Duplicates between two splits, or within one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeats {
    /// Images of the second split that are also in the first; within one split, images identical to
    /// an earlier one.
    pub images: usize,
    /// Those whose duplicate has another label.
    pub contradictory: usize,
}

impl Check {
    /// Checks a data set. `dataset` is its name in records.
    ///
    /// # Errors
    /// If images cannot be read; the error names all of a split.
    pub fn new(dataset: String, splits: &Splits) -> Result<Self> {
        let sets: Vec<(Split, &ImageSet)> = splits.named().collect();
        let (mut of_splits, mut checksums) = (Vec::new(), Vec::new());
        for &(split, set) in &sets {
            let (of_split, of_images) = SplitCheck::new(split, set)?;
            of_splits.push(of_split);
            checksums.push(of_images);
        }
        Ok(Self {
            dataset,
            shape: splits.train.shape(),
            classes: splits.train.class_names().to_vec(),
            splits: of_splits,
            duplicates: equal_images(&sets, checksums)?,
            skipped: splits.skipped.clone(),
        })
    }

    /// Counts the images of `second` that are also in `first`, which may be the same split.
    pub fn repeats(&self, first: Split, second: Split) -> Repeats {
        let mut repeats = Repeats::default();
        for group in &self.duplicates {
            let of = |split| group.iter().filter(move |place| place.split == split);
            for (index, place) in of(second).enumerate() {
                let earlier = if first == second { index } else { usize::MAX };
                let mut equal = of(first).take(earlier).peekable();
                if equal.peek().is_some() {
                    repeats.images += 1;
                    let contradicts = equal.any(|other| other.label != place.label);
                    repeats.contradictory += usize::from(contradicts);
                }
            }
        }
        repeats
    }
}

impl SplitCheck {
    /// The check and the CRC-32 of each image's pixels, in one pass: images may be decoded for it.
    fn new(split: Split, set: &ImageSet) -> Result<(Self, Vec<u32>)> {
        let shape = set.shape();
        let read = set.map(|image| (crc32fast::hash(image), sums(image, shape.channels)))?;
        let (checksums, sums): (Vec<u32>, Vec<Sums>) = read.into_iter().unzip();
        let Normalization { mean, deviation } = Normalization::of(&sums, shape);
        let images = set.len();
        Ok((Self { split, images, of_class: set.of_class(), mean, deviation }, checksums))
    }
}

/// Groups of two or more images with identical pixels, ordered by their first images.
///
/// # Errors
/// If images cannot be read; the error names all of a split.
pub fn duplicates(sets: &[(Split, &ImageSet)]) -> Result<Vec<Vec<Place>>> {
    let checksums = sets.iter().map(|(_, set)| set.checksums()).collect::<Result<_>>()?;
    equal_images(sets, checksums)
}

/// [`duplicates`], by the CRC-32 of each image of each set.
fn equal_images(sets: &[(Split, &ImageSet)], checksums: Vec<Vec<u32>>) -> Result<Vec<Vec<Place>>> {
    let mut groups: Vec<Vec<(Split, &ImageSet, usize)>> = Vec::new();
    // Equal checksums do not prove equality: the groups of a checksum differ in their pixels.
    let mut known: HashMap<u32, Vec<usize>> = HashMap::new();
    for (&(split, set), checksums) in sets.iter().zip(checksums) {
        for (index, checksum) in checksums.into_iter().enumerate() {
            let candidates = known.entry(checksum).or_default();
            let mut equal = None;
            for &group in candidates.iter() {
                let (_, first, at) = groups[group][0];
                if first.image(at)? == set.image(index)? {
                    equal = Some(group);
                    break;
                }
            }
            match equal {
                Some(group) => groups[group].push((split, set, index)),
                None => {
                    candidates.push(groups.len());
                    groups.push(vec![(split, set, index)]);
                }
            }
        }
    }
    let place = |(split, set, index): (Split, &ImageSet, usize)| Place {
        split,
        index,
        file: set.file(index).map(str::to_owned),
        label: set.label(index),
    };
    groups.retain(|group| group.len() > 1);
    Ok(groups.into_iter().map(|group| group.into_iter().map(place).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Picture, Reader, Source, View};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn set(pixels: &[u8], labels: &[usize]) -> ImageSet {
        let names = vec!["cat".to_owned(), "dog".to_owned()];
        ImageSet::new(ImageShape::new(1, 1, 1), pixels.to_vec(), labels.to_vec(), names).unwrap()
    }

    fn check() -> Check {
        let splits = Splits {
            train: set(&[0, 255, 0, 0, 7], &[0, 1, 0, 1, 1]),
            valid: Some(set(&[9, 9], &[0, 0])),
            test: Some(set(&[0, 8, 255], &[0, 1, 1])),
            skipped: Vec::new(),
        };
        Check::new("pets".to_owned(), &splits).unwrap()
    }

    /// Three images, and how many were read.
    #[derive(Debug, Default)]
    struct Counted(AtomicUsize);

    impl Source for Counted {
        fn read<'a>(&'a self, index: usize, _: View, _: &'a mut Reader) -> Result<Picture<'a>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Picture::new(&[0, 255, 7][index..=index], ImageShape::new(1, 1, 1)))
        }
    }

    #[test]
    fn each_image_is_read_once() {
        let source = Arc::new(Counted::default());
        let (shape, names) = (ImageShape::new(1, 1, 1), vec!["cat".to_owned()]);
        let train = ImageSet::of_source(shape, source.clone(), vec![0; 3], names).unwrap();
        let splits = Splits { train, valid: None, test: None, skipped: Vec::new() };
        let check = Check::new("pets".to_owned(), &splits).unwrap();
        assert_eq!(source.0.load(Ordering::Relaxed), 3);
        assert!((check.splits[0].mean[0] - (255.0 + 7.0) / 3.0 / 255.0).abs() < 1e-6);
    }

    #[test]
    fn counts_and_duplicates() {
        let check = check();
        let counts: Vec<_> =
            check.splits.iter().map(|split| (split.images, split.of_class.clone())).collect();
        assert_eq!(counts, [(5, vec![2, 3]), (2, vec![2, 0]), (3, vec![1, 2])]);
        let groups: Vec<Vec<(Split, usize)>> = check
            .duplicates
            .iter()
            .map(|group| group.iter().map(|place| (place.split, place.index)).collect())
            .collect();
        use Split::{Test, Train, Valid};
        assert_eq!(
            groups,
            [
                vec![(Train, 0), (Train, 2), (Train, 3), (Test, 0)],
                vec![(Train, 1), (Test, 2)],
                vec![(Valid, 0), (Valid, 1)],
            ]
        );
        // The pixel 0 comes three times in train, once as a dog; in test it is a cat.
        assert_eq!(check.repeats(Train, Train), Repeats { images: 2, contradictory: 1 });
        assert_eq!(check.repeats(Train, Test), Repeats { images: 2, contradictory: 1 });
        assert_eq!(check.repeats(Valid, Valid), Repeats { images: 1, contradictory: 0 });
        assert_eq!(check.repeats(Train, Valid), Repeats::default());
        // A constant channel is no error here.
        assert_eq!(check.splits[1].deviation, [0.0]);
        let mean = (255.0 + 7.0) / 5.0 / 255.0;
        assert!((check.splits[0].mean[0] - mean).abs() < 1e-6);
    }

    #[test]
    fn the_summary_lists_counts_and_duplicates() {
        let text = check().to_string();
        for line in [
            "pets: 1×1×1, 2 classes",
            "2 cat … 3 dog",
            "    train    valid     test\n         2        2        1  cat\n         3        0        2  dog",
            "train          2 repeat an earlier one, 1 of them under another label",
            "train, test    2 of test are also in train, 1 of them under another label",
            "test 0 (cat) = train 0 (cat), train 2 (cat), train 3 (dog)",
            "skipped files: none",
        ] {
            assert!(text.contains(line), "{line}\n\n{text}");
        }
    }
}
