//! Random erasing of rectangles.

use super::canvas::Rectangle;
use super::{Augment, Canvas, check_probability, check_scale_and_ratio};
use crate::random::Stream;
use crate::{ImageShape, Result};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Random erasing: sets a rectangle of random size, aspect ratio and position to 0 after
/// normalisation, the mean of the training images. Only another erasure may follow.
///
/// <https://arxiv.org/abs/1708.04896>, algorithm 1, with torchvision's defaults and rounding. Erases
/// nothing if ten draws give no rectangle that is smaller than the image in both directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandomErasingConfig {
    /// Probability, between 0 and 1. Default: 0.5.
    pub probability: f64,
    /// Smallest and largest share of the image's area, between 0 and 1. Default: 0.02 and 0.33.
    pub scale: [f64; 2],
    /// Smallest and largest ratio of height to width, above 0, log-uniform. Default: 0.3 and 3.3.
    pub ratio: [f64; 2],
}

impl Default for RandomErasingConfig {
    fn default() -> Self {
        Self { probability: 0.5, scale: [0.02, 0.33], ratio: [0.3, 3.3] }
    }
}

/// Draws before nothing is erased.
const ATTEMPTS: usize = 10;

impl Augment for RandomErasingConfig {
    fn check(&self, key: &str, _: ImageShape) -> Result<()> {
        let key = format!("{key}.random_erasing");
        check_probability(self.probability, || format!("{key}.probability"))?;
        check_scale_and_ratio(&key, self.scale, self.ratio)
    }

    fn erases(&self) -> bool {
        true
    }

    fn apply(&self, random: &mut Stream, canvas: &mut Canvas) {
        if let Some(rectangle) = self.draw(random, canvas.shape()) {
            canvas.erase(rectangle);
        }
    }
}

impl RandomErasingConfig {
    fn draw(&self, random: &mut Stream, shape: ImageShape) -> Option<Rectangle> {
        if !random.random_bool(self.probability) {
            return None;
        }
        let [least_area, most_area] =
            self.scale.map(|share| share * (shape.height * shape.width) as f64);
        let [least_ratio, most_ratio] = self.ratio.map(f64::ln);
        (0..ATTEMPTS).find_map(|_| {
            let area = random.random_range(least_area..=most_area);
            let ratio = random.random_range(least_ratio..=most_ratio).exp();
            let height = (area * ratio).sqrt().round_ties_even() as usize;
            let width = (area / ratio).sqrt().round_ties_even() as usize;
            (height < shape.height && width < shape.width).then(|| {
                let top = random.random_range(0..=(shape.height - height) as u64) as usize;
                let left = random.random_range(0..=(shape.width - width) as u64) as usize;
                Rectangle { top, left, height, width }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use std::collections::HashSet;

    const SHAPE: ImageShape = ImageShape::new(3, 20, 40);

    fn drawn(config: &RandomErasingConfig) -> Vec<Rectangle> {
        (0..4000)
            .filter_map(|sample| config.draw(&mut random::of_sample(0, 0, sample), SHAPE))
            .collect()
    }

    #[test]
    fn rectangles_respect_scale_and_ratio() {
        let rectangles = drawn(&RandomErasingConfig { probability: 1.0, ..Default::default() });
        let shares: Vec<f64> =
            rectangles.iter().map(|r| (r.height * r.width) as f64 / 800.0).collect();
        // Rounding a side of a few pixels moves the area.
        assert!(shares.iter().all(|share| (0.01..0.36).contains(share)));
        assert!(shares.iter().any(|&share| share < 0.03) && shares.iter().any(|&s| s > 0.3));
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        // Slightly below the middle, 0.175: the largest are too high for the image if long.
        assert!((0.15..0.18).contains(&mean), "{mean}");
        let ratios = rectangles.iter().map(|r| r.height as f64 / r.width as f64);
        let (tall, wide): (Vec<f64>, Vec<f64>) = ratios.partition(|&ratio| ratio > 1.0);
        assert!(tall.iter().chain(&wide).all(|ratio| (0.2..5.0).contains(ratio)));
        assert!(tall.len() > 1200 && wide.len() > 1200, "{} {}", tall.len(), wide.len());
    }

    #[test]
    fn positions_cover_the_image() {
        // 80 pixels, as high as wide: 9×9.
        let config = RandomErasingConfig { probability: 1.0, scale: [0.1, 0.1], ratio: [1.0, 1.0] };
        let rectangles = drawn(&config);
        assert!(rectangles.iter().all(|r| (r.height, r.width) == (9, 9)));
        let tops: HashSet<usize> = rectangles.iter().map(|r| r.top).collect();
        let lefts: HashSet<usize> = rectangles.iter().map(|r| r.left).collect();
        assert_eq!(tops, (0..=11).collect());
        assert_eq!(lefts, (0..=31).collect());
    }

    #[test]
    fn erases_with_the_given_probability() {
        let count = drawn(&RandomErasingConfig::default()).len();
        assert!((1850..2150).contains(&count), "{count} of 4000");
        // As large as the image: none of the ten draws fits.
        let whole = RandomErasingConfig { probability: 1.0, scale: [1.0, 1.0], ratio: [1.0, 1.0] };
        assert_eq!(drawn(&whole), []);
    }

    #[test]
    fn values_out_of_range_are_rejected() {
        let message = |config: RandomErasingConfig| {
            config.check("data.augment[3]", SHAPE).unwrap_err().to_string()
        };
        let default = RandomErasingConfig::default;
        default().check("data.augment[3]", SHAPE).unwrap();
        assert_eq!(
            message(RandomErasingConfig { probability: 1.1, ..default() }),
            "`data.augment[3].random_erasing.probability` is 1.1, expected a number between 0 and 1"
        );
        for scale in [[0.3, 0.2], [-0.1, 0.2], [0.1, 1.5], [0.1, f64::NAN]] {
            assert_eq!(
                message(RandomErasingConfig { scale, ..default() }),
                format!(
                    "`data.augment[3].random_erasing.scale` is {scale:?}, \
                     expected two numbers between 0 and 1, the smaller first"
                )
            );
        }
        for ratio in [[0.0, 1.0], [2.0, 1.0], [1.0, f64::INFINITY]] {
            let message = message(RandomErasingConfig { ratio, ..default() });
            assert!(message.contains("random_erasing.ratio` is ["), "{message}");
        }
    }
}
