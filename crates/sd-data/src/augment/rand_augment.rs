//! RandAugment: a few random operations of one magnitude.

use super::operation::{Kind, Space};
use super::{Augment, Canvas, check_bins, check_grey_or_color};
use crate::random::Stream;
use crate::{Error, ImageShape, Result};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// RandAugment: `num_ops` operations, each drawn from 14 and applied at `magnitude`, in a random
/// direction.
///
/// <https://arxiv.org/abs/1909.13719>, with torchvision's operations and defaults. For images of one
/// or three channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandAugmentConfig {
    /// Operations per image, at least 1. Default: 2.
    pub num_ops: usize,
    /// Magnitude bin, from 0 (weakest) to below `num_magnitude_bins`. Default: 9.
    pub magnitude: usize,
    /// Number of magnitude bins, at least 2. Default: 31.
    pub num_magnitude_bins: usize,
    /// Byte, 0 to 255, that fills areas outside the image. Default: 0, black.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::canvas::Scratch;
    use crate::random;
    use std::collections::HashSet;

    /// Compares all possible results of one operation at bin 9 of 31 with those drawn.
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
    fn values_out_of_range_are_rejected() {
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
             expected images of 1 (greyscale) or 3 (RGB) channels"
        );
    }
}
