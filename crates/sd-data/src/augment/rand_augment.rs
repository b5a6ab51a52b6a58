//! RandAugment: a few operations, each as strong as the others.

use super::operation::{Kind, Space};
use super::{Augment, Canvas, check_bins, check_grey_or_color};
use crate::random::Stream;
use crate::{Error, ImageShape, Result};
use rand::RngExt;
use schemars::JsonSchema;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};

/// `num_ops` operations one after another, each drawn anew from 14, all at `magnitude`. What has a
/// direction goes either way.
///
/// <https://arxiv.org/abs/1909.13719>. The operations and the defaults are torchvision's. For
/// images of one or three channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandAugmentConfig {
    /// Operations an image, at least 1; 2 unless it is written.
    pub num_ops: usize,
    /// The bin of the magnitude, from 0 for hardly a change to below `num_magnitude_bins`; 9
    /// unless it is written.
    pub magnitude: usize,
    /// The number of bins, at least 2; 31 unless it is written.
    pub num_magnitude_bins: usize,
    /// The byte, 0 to 255, that shears, translations and rotations bring in from outside the
    /// image; black unless it is written.
    pub fill: u8,
}

impl Default for RandAugmentConfig {
    fn default() -> Self {
        Self { num_ops: 2, magnitude: 9, num_magnitude_bins: 31, fill: 0 }
    }
}

impl Augment for RandAugmentConfig {
    fn check(&self, key: &str, shape: ImageShape) -> Result<()> {
        check_grey_or_color(key, "rand_augment", shape)?;
        if self.num_ops == 0 {
            return Err(Error::value(format!("{key}.rand_augment.num_ops"), 0, "at least 1"));
        }
        check_bins(self.num_magnitude_bins, || format!("{key}.rand_augment.num_magnitude_bins"))?;
        if self.magnitude >= self.num_magnitude_bins {
            return Err(Error::value(
                format!("{key}.rand_augment.magnitude"),
                self.magnitude,
                format!("less than `num_magnitude_bins`, {}", self.num_magnitude_bins),
            ));
        }
        Ok(())
    }

    fn apply(&self, random: &mut Stream, canvas: &mut Canvas) {
        let space = Space::auto(canvas.shape(), self.num_magnitude_bins);
        for _ in 0..self.num_ops {
            let kind = Kind::RANDOM[random.random_range(0..Kind::RANDOM.len() as u32) as usize];
            canvas.apply(space.operation(kind, self.magnitude, random.random()), self.fill);
        }
    }
}

impl Examples for RandAugmentConfig {
    fn examples() -> Vec<Self> {
        vec![Self::default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::canvas::Scratch;
    use crate::random;
    use std::collections::HashSet;

    /// All that `num_ops` operations at bin 9 of 31 can make of an image, and all that is drawn.
    #[test]
    fn draws_every_operation_in_both_directions() {
        let shape = ImageShape::new(3, 5, 7);
        let source: Vec<u8> = (0..105).map(|index| (index * 41 % 251) as u8).collect();
        let mut scratch = Scratch::new(shape);
        let space = Space::auto(shape, 31);
        let mut expected = HashSet::new();
        for kind in Kind::RANDOM {
            for negative in [false, true] {
                let mut canvas = Canvas::new(&source, &mut scratch);
                canvas.apply(space.operation(kind, 9, negative), 77);
                expected.insert(canvas.pixels().values().to_vec());
            }
        }
        let config = RandAugmentConfig { num_ops: 1, fill: 77, ..RandAugmentConfig::default() };
        let mut drawn = |config: &RandAugmentConfig| {
            (0..1000)
                .map(|sample| {
                    let mut canvas = Canvas::new(&source, &mut scratch);
                    config.apply(&mut random::of_sample(0, 0, sample), &mut canvas);
                    canvas.pixels().values().to_vec()
                })
                .collect::<HashSet<_>>()
        };
        assert_eq!(drawn(&config), expected);
        let two = drawn(&RandAugmentConfig { num_ops: 2, ..config });
        assert!(two.len() > 3 * expected.len(), "{} of two operations", two.len());
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let message = |config: RandAugmentConfig, channels| {
            let shape = ImageShape::new(channels, 8, 8);
            config.check("data.augment[2]", shape).unwrap_err().to_string()
        };
        let default = RandAugmentConfig::default;
        assert_eq!(
            message(RandAugmentConfig { num_ops: 0, ..default() }, 3),
            "`data.augment[2].rand_augment.num_ops` is 0, expected at least 1"
        );
        assert_eq!(
            message(RandAugmentConfig { magnitude: 31, ..default() }, 3),
            "`data.augment[2].rand_augment.magnitude` is 31, \
             expected less than `num_magnitude_bins`, 31"
        );
        assert_eq!(
            message(RandAugmentConfig { num_magnitude_bins: 1, ..default() }, 3),
            "`data.augment[2].rand_augment.num_magnitude_bins` is 1, expected at least 2"
        );
        assert_eq!(
            message(default(), 2),
            "`data.augment[2].rand_augment` is on images of 2 channels, \
             expected images of 1 (grey) or 3 (red, green, blue)"
        );
    }
}
