//! Random crops of a padded image.

use super::{Augment, Canvas, Placement};
use crate::random::Stream;
use crate::{Error, ImageShape, Result};
use rand::RngExt;
use schemars::JsonSchema;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};

/// Random crop of the original size after padding with `padding` black pixels (zero before
/// normalisation) on each side. Uniform over the `(2·padding + 1)²` positions.
///
/// The usual augmentation of CIFAR since <https://arxiv.org/abs/1409.5185>, section 3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PadCropConfig {
    /// Padding per side in pixels, less than the height and the width of the images.
    pub padding: usize,
}

impl Augment for PadCropConfig {
    fn check(&self, key: &str, shape: ImageShape) -> Result<()> {
        let smaller = shape.height.min(shape.width);
        if self.padding < smaller {
            Ok(())
        } else {
            let key = format!("{key}.pad_crop.padding");
            let ImageShape { height, width, .. } = shape;
            let expected = format!("less than the sides of the images, {height}×{width}");
            Err(Error::value(key, self.padding, expected))
        }
    }

    fn apply(&self, random: &mut Stream, canvas: &mut Canvas) {
        canvas.place(|placement| self.draw(random, placement));
    }
}

impl Examples for PadCropConfig {
    fn examples() -> Vec<Self> {
        vec![Self { padding: 4 }]
    }
}

impl PadCropConfig {
    fn draw(&self, random: &mut Stream, placement: Placement) -> Placement {
        let padding = self.padding as i64;
        let down = random.random_range(-padding..=padding) as isize;
        let right = random.random_range(-padding..=padding) as isize;
        placement.moved(down, right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use std::collections::HashMap;

    #[test]
    fn positions_are_uniform() {
        let mut places = HashMap::new();
        for sample in 0..9000 {
            let mut stream = random::of_sample(1, 0, sample);
            let placement = PadCropConfig { padding: 1 }.draw(&mut stream, Placement::default());
            *places.entry((placement.down, placement.right)).or_insert(0) += 1;
        }
        assert_eq!(places.len(), 9);
        // 1000 ± 5 deviations of a binomial.
        assert!(places.values().all(|count| (850..=1150).contains(count)), "{places:?}");
    }

    #[test]
    fn padding_of_a_whole_image_is_rejected() {
        let error = PadCropConfig { padding: 28 }
            .check("data.augment[0]", ImageShape::new(1, 28, 32))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "`data.augment[0].pad_crop.padding` is 28, \
             expected less than the sides of the images, 28×32"
        );
    }
}
