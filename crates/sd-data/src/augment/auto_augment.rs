//! AutoAugment: published policies, found by search.

use super::operation::{Kind, Space};
use super::{Augment, Canvas, check_grey_or_color};
use crate::random::Stream;
use crate::{ImageShape, Result};
use rand::RngExt;
use schemars::JsonSchema;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};

/// AutoAugment: one of the policy's 25 pairs of operations per image. Each operation has its own
/// probability and magnitude, and a random direction.
///
/// <https://arxiv.org/abs/1805.09501>, with the policies of its appendix. The operations equal
/// torchvision's on PIL images bit for bit, with nearest-neighbour interpolation. For images of one
/// or three channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoAugmentConfig {
    /// Policy, named by the data set it was searched on.
    pub policy: AutoAugmentPolicy,
    /// Byte, 0 to 255, that fills areas outside the image. Default: 0, black, as in torchvision.
    #[serde(default)]
    pub fill: u8,
}

/// A published policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AutoAugmentPolicy {
    /// Searched on CIFAR-10; the paper also uses it for CIFAR-100.
    Cifar10,
    /// Searched on ImageNet.
    Imagenet,
}

impl Augment for AutoAugmentConfig {
    fn check(&self, key: &str, shape: ImageShape) -> Result<()> {
        check_grey_or_color(key, "auto_augment", shape)
    }

    fn apply(&self, random: &mut Stream, canvas: &mut Canvas) {
        let space = Space::auto(canvas.shape(), BINS);
        let pairs = self.policy.pairs();
        let pair = pairs[random.random_range(0..pairs.len() as u32) as usize];
        for (kind, probability, bin) in pair {
            // Draws both always, so that the second operation does not depend on the first.
            let (happens, negative) = (random.random_bool(probability), random.random());
            if happens {
                canvas.apply(space.operation(kind, bin, negative), self.fill);
            }
        }
    }
}

impl Examples for AutoAugmentConfig {
    fn examples() -> Vec<Self> {
        [AutoAugmentPolicy::Cifar10, AutoAugmentPolicy::Imagenet]
            .map(|policy| Self { policy, fill: 0 })
            .into()
    }
}

/// Magnitude bins of the policies, 0 to 9.
pub(super) const BINS: usize = 10;

/// Operation, probability and magnitude bin (0 if it has no magnitude).
pub(super) type Step = (Kind, f64, usize);

impl AutoAugmentPolicy {
    pub(super) fn pairs(self) -> &'static [[Step; 2]; 25] {
        match self {
            Self::Cifar10 => &CIFAR10,
            Self::Imagenet => &IMAGENET,
        }
    }
}

/// As published, in the order of torchvision's `AutoAugmentPolicy.CIFAR10`.
const CIFAR10: [[Step; 2]; 25] = [
    [(Kind::Invert, 0.1, 0), (Kind::Contrast, 0.2, 6)],
    [(Kind::Rotate, 0.7, 2), (Kind::TranslateX, 0.3, 9)],
    [(Kind::Sharpness, 0.8, 1), (Kind::Sharpness, 0.9, 3)],
    [(Kind::ShearY, 0.5, 8), (Kind::TranslateY, 0.7, 9)],
    [(Kind::AutoContrast, 0.5, 0), (Kind::Equalize, 0.9, 0)],
    [(Kind::ShearY, 0.2, 7), (Kind::Posterize, 0.3, 7)],
    [(Kind::Color, 0.4, 3), (Kind::Brightness, 0.6, 7)],
    [(Kind::Sharpness, 0.3, 9), (Kind::Brightness, 0.7, 9)],
    [(Kind::Equalize, 0.6, 0), (Kind::Equalize, 0.5, 0)],
    [(Kind::Contrast, 0.6, 7), (Kind::Sharpness, 0.6, 5)],
    [(Kind::Color, 0.7, 7), (Kind::TranslateX, 0.5, 8)],
    [(Kind::Equalize, 0.3, 0), (Kind::AutoContrast, 0.4, 0)],
    [(Kind::TranslateY, 0.4, 3), (Kind::Sharpness, 0.2, 6)],
    [(Kind::Brightness, 0.9, 6), (Kind::Color, 0.2, 8)],
    [(Kind::Solarize, 0.5, 2), (Kind::Invert, 0.0, 0)],
    [(Kind::Equalize, 0.2, 0), (Kind::AutoContrast, 0.6, 0)],
    [(Kind::Equalize, 0.2, 0), (Kind::Equalize, 0.6, 0)],
    [(Kind::Color, 0.9, 9), (Kind::Equalize, 0.6, 0)],
    [(Kind::AutoContrast, 0.8, 0), (Kind::Solarize, 0.2, 8)],
    [(Kind::Brightness, 0.1, 3), (Kind::Color, 0.7, 0)],
    [(Kind::Solarize, 0.4, 5), (Kind::AutoContrast, 0.9, 0)],
    [(Kind::TranslateY, 0.9, 9), (Kind::TranslateY, 0.7, 9)],
    [(Kind::AutoContrast, 0.9, 0), (Kind::Solarize, 0.8, 3)],
    [(Kind::Equalize, 0.8, 0), (Kind::Invert, 0.1, 0)],
    [(Kind::TranslateY, 0.7, 9), (Kind::AutoContrast, 0.9, 0)],
];

/// As published, in the order of torchvision's `AutoAugmentPolicy.IMAGENET`.
const IMAGENET: [[Step; 2]; 25] = [
    [(Kind::Posterize, 0.4, 8), (Kind::Rotate, 0.6, 9)],
    [(Kind::Solarize, 0.6, 5), (Kind::AutoContrast, 0.6, 0)],
    [(Kind::Equalize, 0.8, 0), (Kind::Equalize, 0.6, 0)],
    [(Kind::Posterize, 0.6, 7), (Kind::Posterize, 0.6, 6)],
    [(Kind::Equalize, 0.4, 0), (Kind::Solarize, 0.2, 4)],
    [(Kind::Equalize, 0.4, 0), (Kind::Rotate, 0.8, 8)],
    [(Kind::Solarize, 0.6, 3), (Kind::Equalize, 0.6, 0)],
    [(Kind::Posterize, 0.8, 5), (Kind::Equalize, 1.0, 0)],
    [(Kind::Rotate, 0.2, 3), (Kind::Solarize, 0.6, 8)],
    [(Kind::Equalize, 0.6, 0), (Kind::Posterize, 0.4, 6)],
    [(Kind::Rotate, 0.8, 8), (Kind::Color, 0.4, 0)],
    [(Kind::Rotate, 0.4, 9), (Kind::Equalize, 0.6, 0)],
    [(Kind::Equalize, 0.0, 0), (Kind::Equalize, 0.8, 0)],
    [(Kind::Invert, 0.6, 0), (Kind::Equalize, 1.0, 0)],
    [(Kind::Color, 0.6, 4), (Kind::Contrast, 1.0, 8)],
    [(Kind::Rotate, 0.8, 8), (Kind::Color, 1.0, 2)],
    [(Kind::Color, 0.8, 8), (Kind::Solarize, 0.8, 7)],
    [(Kind::Sharpness, 0.4, 7), (Kind::Invert, 0.6, 0)],
    [(Kind::ShearX, 0.6, 5), (Kind::Equalize, 1.0, 0)],
    [(Kind::Color, 0.4, 0), (Kind::Equalize, 0.6, 0)],
    [(Kind::Equalize, 0.4, 0), (Kind::Solarize, 0.2, 4)],
    [(Kind::Solarize, 0.6, 5), (Kind::AutoContrast, 0.6, 0)],
    [(Kind::Invert, 0.6, 0), (Kind::Equalize, 1.0, 0)],
    [(Kind::Color, 0.6, 4), (Kind::Contrast, 1.0, 8)],
    [(Kind::Equalize, 0.8, 0), (Kind::Equalize, 0.6, 0)],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::canvas::Scratch;
    use crate::random;
    use std::collections::HashMap;

    /// Compares the frequencies of all results with those of the pairs, operations and directions.
    #[test]
    fn frequencies_match_the_policy() {
        let shape = ImageShape::new(1, 6, 6);
        let source: Vec<u8> = (0..36).map(|index| index * 7).collect();
        let mut scratch = Scratch::new(shape);
        let mut results: HashMap<Vec<u8>, u32> = HashMap::new();
        let config = AutoAugmentConfig { policy: AutoAugmentPolicy::Cifar10, fill: 0 };
        const DRAWS: u64 = 20_000;
        for sample in 0..DRAWS {
            let mut canvas = Canvas::new(&source, &mut scratch);
            config.apply(&mut random::of_sample(0, 0, sample), &mut canvas);
            *results.entry(canvas.pixels().values().to_vec()).or_default() += 1;
        }
        // Expected frequencies, from every pair, choice and direction.
        let mut expected: HashMap<Vec<u8>, f64> = HashMap::new();
        let space = Space::auto(shape, BINS);
        for pair in CIFAR10 {
            for choice in 0..16 {
                let mut canvas = Canvas::new(&source, &mut scratch);
                let mut share = 1.0 / 25.0;
                for (index, (kind, probability, bin)) in pair.into_iter().enumerate() {
                    let happens = choice >> index & 1 == 1;
                    let negative = choice >> (2 + index) & 1 == 1;
                    share *= 0.5 * if happens { probability } else { 1.0 - probability };
                    if happens {
                        canvas.apply(space.operation(kind, bin, negative), 0);
                    }
                }
                *expected.entry(canvas.pixels().values().to_vec()).or_default() += share;
            }
        }
        assert!(expected.len() > 30, "{} results", expected.len());
        for (pixels, share) in &expected {
            let mean = share * DRAWS as f64;
            let found = f64::from(results.remove(pixels).unwrap_or(0));
            // Six deviations of a Poisson count, and a little for rare ones.
            assert!((found - mean).abs() < 6.0 * mean.sqrt() + 6.0, "{found}, expected {mean}");
        }
        assert!(results.is_empty(), "{} results that no pair gives", results.len());
    }
}
