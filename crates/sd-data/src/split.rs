//! The splits of a data set, and the validation split that is drawn from the training images.

use crate::random;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A split of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Training images.
    Train,
    /// Validation images.
    Valid,
    /// Test images.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        })
    }
}

/// Splits `0..labels.len()` into training indices and those of `split`, both ascending.
///
/// Stratified: draws `fraction` of the images of every class, rounded to the nearest integer, for
/// `split`, but leaves at least one image of each class for training. The draw depends only on
/// the labels, the fraction, the split and the seed.
///
/// # Panics
/// If a label is not below `classes`.
pub fn stratified(
    labels: &[usize],
    classes: usize,
    fraction: f64,
    split: Split,
    seed: u64,
) -> (Vec<usize>, Vec<usize>) {
    let mut members = vec![Vec::new(); classes];
    for (index, &label) in labels.iter().enumerate() {
        members[label].push(index);
    }
    let mut train = Vec::new();
    let mut drawn = Vec::new();
    let purpose = if split == Split::Test { b"test\0\0\0\0" } else { b"validate" };
    for (class, mut indices) in members.into_iter().enumerate() {
        let held_back = (fraction * indices.len() as f64).round() as usize;
        let held_back = held_back.min(indices.len().saturating_sub(1));
        // One stream per class: more images of one class do not change the draw of another.
        indices.shuffle(&mut random::named(purpose, [seed, class as u64, 0]));
        train.extend_from_slice(&indices[held_back..]);
        drawn.extend_from_slice(&indices[..held_back]);
    }
    train.sort_unstable();
    drawn.sort_unstable();
    (train, drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 images of class 0, 15 of class 1, 5 of class 2, interleaved.
    fn labels() -> Vec<usize> {
        (0..60).map(|i| if i % 12 == 0 { 2 } else { usize::from(i % 4 == 3) }).collect()
    }

    #[test]
    fn every_class_is_split_by_the_fraction() {
        let labels = labels();
        let counts = |indices: &[usize]| {
            (0..3).map(|class| indices.iter().filter(|&&i| labels[i] == class).count()).collect()
        };
        let all: Vec<usize> = counts(&(0..60).collect::<Vec<_>>());
        let (train, valid) = stratified(&labels, 3, 0.1, Split::Valid, 7);
        let held_back: Vec<usize> = counts(&valid);
        assert_eq!(all, [40, 15, 5]);
        assert_eq!(held_back, [4, 2, 1]);
        let mut both = [train.clone(), valid.clone()].concat();
        both.sort_unstable();
        assert_eq!(both, (0..60).collect::<Vec<_>>());
        assert!(train.is_sorted() && valid.is_sorted());
    }

    #[test]
    fn one_image_of_each_class_stays_in_training() {
        // Two images of class 0, one of class 1, none of class 2.
        for fraction in [0.5, 0.99] {
            let (train, valid) = stratified(&[0, 1, 0], 3, fraction, Split::Valid, 0);
            assert!(train.contains(&1), "{train:?}");
            assert_eq!((train.len(), valid.len()), (2, 1));
        }
    }

    #[test]
    fn the_split_depends_on_the_seed() {
        let labels = labels();
        let drawn = |split, seed| stratified(&labels, 3, 0.2, split, seed);
        assert_eq!(drawn(Split::Valid, 1), drawn(Split::Valid, 1));
        assert_ne!(drawn(Split::Valid, 1), drawn(Split::Valid, 2));
        assert_ne!(drawn(Split::Valid, 1), drawn(Split::Test, 1));
    }
}
