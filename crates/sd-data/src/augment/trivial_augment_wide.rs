//! TrivialAugment with wide ranges: one operation of random magnitude.

use super::operation::{Kind, Space};
use super::{Augment, Canvas, check_bins, check_grey_or_color};
use crate::random::Stream;
use crate::{ImageShape, Result};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TrivialAugment: one operation, drawn from 14, of random magnitude and direction. Needs no tuning.
///
/// <https://arxiv.org/abs/2103.10158>, section 3, with its wide ranges: translations reach 32 pixels
/// at any image size, which moves a 32×32 image entirely out of sight. Operations and defaults are
/// torchvision's. For images of one or three channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrivialAugmentWideConfig {
    /// Number of magnitude bins, at least 2. Default: 31.
    pub num_magnitude_bins: usize,
    /// Byte, 0 to 255, that fills areas outside the image. Default: 0, black.
    pub fill: u8,
}

impl Default for TrivialAugmentWideConfig {
    fn default() -> Self {
        Self { num_magnitude_bins: 31, fill: 0 }
    }
}

impl Augment for TrivialAugmentWideConfig {
    fn check(&self, key: &str, shape: ImageShape) -> Result<()> {
        check_grey_or_color(key, "trivial_augment_wide", shape)?;
        check_bins(self.num_magnitude_bins, || {
            format!("{key}.trivial_augment_wide.num_magnitude_bins")
        })
    }

    fn apply(&self, random: &mut Stream, canvas: &mut Canvas) {
        let kind = Kind::RANDOM[random.random_range(0..Kind::RANDOM.len() as u32) as usize];
        let bin = random.random_range(0..self.num_magnitude_bins as u64) as usize;
        let space = Space::wide(self.num_magnitude_bins);
        canvas.apply(space.operation(kind, bin, random.random()), self.fill);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::canvas::Scratch;
    use crate::random;
    use std::collections::HashSet;

    #[test]
    fn draws_every_operation_at_every_magnitude() {
        let shape = ImageShape::new(1, 9, 7);
        let source: Vec<u8> = (0..63).map(|index| (index * 41 % 251) as u8).collect();
        let mut scratch = Scratch::new(shape);
        let space = Space::wide(5);
        let mut expected = HashSet::new();
        for kind in Kind::RANDOM {
            for (bin, negative) in (0..5).flat_map(|bin| [(bin, false), (bin, true)]) {
                let mut canvas = Canvas::new(&source, &mut scratch);
                canvas.apply(space.operation(kind, bin, negative), 0);
                expected.insert(canvas.pixels().values().to_vec());
            }
        }
        let config = TrivialAugmentWideConfig { num_magnitude_bins: 5, fill: 0 };
        let drawn: HashSet<_> = (0..3000)
            .map(|sample| {
                let mut canvas = Canvas::new(&source, &mut scratch);
                config.apply(&mut random::of_sample(0, 0, sample), &mut canvas);
                canvas.pixels().values().to_vec()
            })
            .collect();
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_single_bin_is_rejected() {
        let config = TrivialAugmentWideConfig { num_magnitude_bins: 1, fill: 0 };
        let error = config.check("data.augment[0]", ImageShape::new(3, 8, 8)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`data.augment[0].trivial_augment_wide.num_magnitude_bins` is 1, expected at least 2"
        );
    }
}
