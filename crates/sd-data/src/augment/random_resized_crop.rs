//! Random crops, resized to the whole image.

use super::canvas::Rectangle;
use super::{Augment, Canvas, check_grey_or_color, check_scale_and_ratio};
use crate::random::Stream;
use crate::{ImageShape, Result};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Random crop of random area and aspect ratio, resized to the whole image by bilinear
/// interpolation.
///
/// The crop of Inception, <https://arxiv.org/abs/1409.4842>, section 6, drawn as by torchvision's
/// `RandomResizedCrop`, with its defaults; each byte is within one of torchvision's. First in the list,
/// it crops image files at their own size, or at
/// [`crop_from`](crate::ImageFilesConfig::crop_from); later, or with a border, at that of the network's
/// input. For images of one or three channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RandomResizedCropConfig {
    /// Smallest and largest share of the image's area, between 0 and 1.
    pub scale: [f64; 2],
    /// Smallest and largest ratio of width to height, above 0, log-uniform.
    pub ratio: [f64; 2],
}

impl Default for RandomResizedCropConfig {
    fn default() -> Self {
        Self { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

/// Draws before the largest central rectangle is used.
const ATTEMPTS: usize = 10;

impl Augment for RandomResizedCropConfig {
    fn check(&self, key: &str, shape: ImageShape) -> Result<()> {
        check_grey_or_color(key, "random_resized_crop", shape)?;
        check_scale_and_ratio(&format!("{key}.random_resized_crop"), self.scale, self.ratio)
    }

    fn crops_the_original(&self) -> bool {
        true
    }

    fn apply(&self, random: &mut Stream, canvas: &mut Canvas) {
        let part = self.draw(random, canvas.current_shape());
        canvas.enlarge(part);
    }
}

impl RandomResizedCropConfig {
    fn draw(&self, random: &mut Stream, shape: ImageShape) -> Rectangle {
        let area = (shape.height * shape.width) as f64;
        let [least_ratio, most_ratio] = self.ratio.map(f64::ln);
        for _ in 0..ATTEMPTS {
            let area = area * random.random_range(self.scale[0]..=self.scale[1]);
            let ratio = random.random_range(least_ratio..=most_ratio).exp();
            let width = (area * ratio).sqrt().round_ties_even() as usize;
            let height = (area / ratio).sqrt().round_ties_even() as usize;
            if (1..=shape.height).contains(&height) && (1..=shape.width).contains(&width) {
                let top = random.random_range(0..=(shape.height - height) as u64) as usize;
                let left = random.random_range(0..=(shape.width - width) as u64) as usize;
                return Rectangle { top, left, height, width };
            }
        }
        self.central(shape)
    }

    /// The largest central rectangle whose ratio is allowed.
    fn central(&self, shape: ImageShape) -> Rectangle {
        let (mut height, mut width) = (shape.height, shape.width);
        let ratio = width as f64 / height as f64;
        let [least, most] = self.ratio;
        if ratio < least {
            height = ((width as f64 / least).round_ties_even() as usize).clamp(1, height);
        } else if ratio > most {
            width = ((height as f64 * most).round_ties_even() as usize).clamp(1, width);
        }
        let (top, left) = ((shape.height - height) / 2, (shape.width - width) / 2);
        Rectangle { top, left, height, width }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use std::collections::HashSet;

    const SHAPE: ImageShape = ImageShape::new(3, 40, 40);

    fn drawn(config: &RandomResizedCropConfig, shape: ImageShape) -> Vec<Rectangle> {
        (0..4000).map(|sample| config.draw(&mut random::of_sample(0, 0, sample), shape)).collect()
    }

    #[test]
    fn crops_respect_scale_and_ratio() {
        let parts = drawn(&RandomResizedCropConfig::default(), SHAPE);
        let inside = |r: &Rectangle| r.top + r.height <= 40 && r.left + r.width <= 40;
        assert!(parts.iter().all(inside));
        let shares: Vec<f64> = parts.iter().map(|r| (r.height * r.width) as f64 / 1600.0).collect();
        // Rounding a side moves the area a little.
        assert!(shares.iter().all(|share| (0.07..=1.0).contains(share)));
        assert!(shares.iter().any(|&share| share < 0.1) && shares.iter().any(|&s| s > 0.95));
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        // Below the middle, 0.54: large ones that are not square do not fit. The mean of 20,000
        // draws by torchvision is 0.485.
        assert!((0.475..0.495).contains(&mean), "{mean}");
        let ratios = parts.iter().map(|r| r.width as f64 / r.height as f64);
        let (wide, tall): (Vec<f64>, Vec<f64>) = ratios.partition(|&ratio| ratio > 1.0);
        assert!(wide.iter().chain(&tall).all(|ratio| (0.68..1.46).contains(ratio)));
        assert!(wide.len() > 1500 && tall.len() > 1500, "{} {}", wide.len(), tall.len());
    }

    #[test]
    fn positions_cover_the_image() {
        // A quarter of the area, square: 20×20.
        let config = RandomResizedCropConfig { scale: [0.25, 0.25], ratio: [1.0, 1.0] };
        let parts = drawn(&config, SHAPE);
        assert!(parts.iter().all(|r| (r.height, r.width) == (20, 20)));
        let tops: HashSet<usize> = parts.iter().map(|r| r.top).collect();
        let lefts: HashSet<usize> = parts.iter().map(|r| r.left).collect();
        assert_eq!(tops, (0..=20).collect());
        assert_eq!(lefts, (0..=20).collect());
    }

    #[test]
    fn falls_back_to_the_centre() {
        let config = RandomResizedCropConfig { scale: [1.0, 1.0], ratio: [0.5, 0.5] };
        let part = Rectangle { top: 0, left: 10, height: 40, width: 20 };
        let all = drawn(&config, SHAPE);
        assert!(all.iter().all(|&found| found == part), "{:?}", all[0]);
        let wide = ImageShape::new(1, 10, 100);
        let square = RandomResizedCropConfig { scale: [1.0, 1.0], ratio: [0.8, 1.0] };
        let part = Rectangle { top: 0, left: 45, height: 10, width: 10 };
        assert_eq!(drawn(&square, wide)[0], part);
    }
}
