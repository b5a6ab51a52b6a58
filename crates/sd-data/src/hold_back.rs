//! Training images that are held back for another split.

use crate::split::{Split, stratified};
use crate::{Error, ImageSet, Result, Splits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stratified share of the training images, held back for validation or testing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldBackConfig {
    /// Share per class, between 0 and 1 (both exclusive).
    pub fraction: f64,
    /// Seed of the draw. Separate from the seed of the training, so that runs with different seeds
    /// train on the same images.
    pub seed: u64,
}

impl HoldBackConfig {
    /// Checks the share; `split` is the split that it is for.
    pub(crate) fn check(&self, split: Split) -> Result<()> {
        if self.fraction > 0.0 && self.fraction < 1.0 {
            return Ok(());
        }
        let key = format!("{}.fraction", key(split));
        Err(Error::value(key, self.fraction, "a number between 0 and 1 (exclusive)"))
    }
}

/// Moves the shares for testing and for validation out of the training images. Changes nothing if it
/// fails.
pub(crate) fn hold_back(
    splits: &mut Splits,
    validation: Option<&HoldBackConfig>,
    test: Option<&HoldBackConfig>,
) -> Result<()> {
    let train = &splits.train;
    let mut remain: Vec<usize> = (0..train.len()).collect();
    // Test images first: they do not depend on the share for validation.
    let test = draw(test, Split::Test, splits.test.as_ref(), train, &mut remain)?;
    let valid = draw(validation, Split::Valid, splits.valid.as_ref(), train, &mut remain)?;
    splits.test = test.or(splits.test.take());
    splits.valid = valid.or(splits.valid.take());
    if remain.len() < splits.train.len() {
        splits.train = splits.train.select(&remain);
    }
    Ok(())
}

/// Draws the images of `split` from those of `train` that `remain`.
fn draw(
    share: Option<&HoldBackConfig>,
    split: Split,
    own: Option<&ImageSet>,
    train: &ImageSet,
    remain: &mut Vec<usize>,
) -> Result<Option<ImageSet>> {
    let Some(&HoldBackConfig { fraction, seed }) = share else { return Ok(None) };
    let images = if split == Split::Test { "test" } else { "validation" };
    if let Some(own) = own {
        let expected = format!("unset: the data set has {} {images} images of its own", own.len());
        return Err(Error::value(key(split), "set", expected));
    }
    let labels: Vec<usize> = remain.iter().map(|&index| train.label(index)).collect();
    let (kept, drawn) = stratified(&labels, train.classes(), fraction, split, seed);
    if drawn.is_empty() {
        let expected = format!(
            "a share that holds back at least one image; it splits {} images into {} for training \
             and 0 for {images}",
            labels.len(),
            kept.len(),
        );
        return Err(Error::value(format!("{}.fraction", key(split)), fraction, expected));
    }
    let at = |positions: Vec<usize>| positions.into_iter().map(|position| remain[position]);
    let drawn: Vec<usize> = at(drawn).collect();
    *remain = at(kept).collect();
    Ok(Some(train.select(&drawn)))
}

/// The key of the share for a split.
fn key(split: Split) -> &'static str {
    if split == Split::Test { "data.test" } else { "data.validation" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageShape;

    /// 20 images of two classes, told apart by their pixel.
    fn splits() -> Splits {
        let names = ["cat", "dog"].map(str::to_owned).to_vec();
        let labels = (0..20).map(|index| index % 2).collect();
        let train = ImageSet::new(ImageShape::new(1, 1, 1), (0..20).collect(), labels, names);
        Splits { train: train.unwrap(), valid: None, test: None, skipped: Vec::new() }
    }

    fn share(fraction: f64) -> HoldBackConfig {
        HoldBackConfig { fraction, seed: 0 }
    }

    #[test]
    fn test_images_do_not_depend_on_the_share_for_validation() {
        let held = |validation: Option<f64>| {
            let mut splits = splits();
            hold_back(&mut splits, validation.map(share).as_ref(), Some(&share(0.2))).unwrap();
            splits
        };
        let (one, two, three) = (held(None), held(Some(0.25)), held(Some(0.5)));
        assert_eq!(one.test.as_ref().map(ImageSet::of_class), Some(vec![2, 2]));
        assert!(one.test == two.test && two.test == three.test);
        let valid = two.valid.unwrap();
        assert_eq!(valid.of_class(), [2, 2]);
        let all = [&two.train, &valid, two.test.as_ref().unwrap()];
        let mut all = all.map(|set| set.pixels().unwrap()).concat();
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<u8>>());
    }

    #[test]
    fn a_split_of_its_own_or_an_empty_one_is_an_error_and_changes_nothing() {
        let own = Splits { valid: Some(splits().train), ..splits() };
        for (before, validation, expected) in [
            (own, 0.5, "`data.validation` is set, expected unset: the data set has 20 validation"),
            (splits(), 0.01, "splits 16 images into 16 for training and 0 for validation"),
        ] {
            let mut after = before.clone();
            let error = hold_back(&mut after, Some(&share(validation)), Some(&share(0.2)));
            let error = error.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(after, before);
        }
        let mut own = Splits { test: Some(splits().train), ..splits() };
        let error = hold_back(&mut own, None, Some(&share(0.2))).unwrap_err().to_string();
        assert!(error.starts_with("`data.test` is set"), "{error}");
    }
}
