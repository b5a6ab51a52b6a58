//! Cutout: a square erased.

use super::canvas::Rectangle;
use super::{Augment, Canvas};
use crate::random::Stream;
use crate::{Error, ImageShape, Result};
use rand::RngExt;
use schemars::JsonSchema;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};

/// Cutout: sets a square to 0 after normalisation, the mean of the training images. The centre is
/// uniform over all pixels, so that part of the square may lie outside. Only another erasure may
/// follow.
///
/// <https://arxiv.org/abs/1708.04552>, section 3. The paper's sides are 16 for CIFAR-10, 8 for
/// CIFAR-100 and 20 for SVHN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CutoutConfig {
    /// Side of the square in pixels, from 1 to the shorter side of the images.
    pub side: usize,
}

impl Augment for CutoutConfig {
    fn check(&self, key: &str, shape: ImageShape) -> Result<()> {
        let shorter = shape.height.min(shape.width);
        if (1..=shorter).contains(&self.side) {
            Ok(())
        } else {
            let ImageShape { height, width, .. } = shape;
            Err(Error::value(
                format!("{key}.cutout.side"),
                self.side,
                format!("1 to {shorter}, the shorter side of images of {height}×{width}"),
            ))
        }
    }

    fn erases(&self) -> bool {
        true
    }

    fn apply(&self, random: &mut Stream, canvas: &mut Canvas) {
        let rectangle = self.draw(random, canvas.shape());
        canvas.erase(rectangle);
    }
}

impl Examples for CutoutConfig {
    fn examples() -> Vec<Self> {
        vec![Self { side: 16 }]
    }
}

impl CutoutConfig {
    fn draw(&self, random: &mut Stream, shape: ImageShape) -> Rectangle {
        // The part that is inside: its beginning and its length.
        let mut along = |length: usize| {
            let centre = random.random_range(0..length as u64) as usize;
            let start = centre.saturating_sub(self.side / 2);
            let end = (centre + self.side.div_ceil(2)).min(length);
            (start, end - start)
        };
        let ((top, height), (left, width)) = (along(shape.height), along(shape.width));
        Rectangle { top, left, height, width }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use std::collections::HashMap;

    #[test]
    fn centres_are_uniform() {
        // Side 2, centres 0 to 2 and 0 to 3: the square begins one before its centre.
        let mut counts = HashMap::new();
        for sample in 0..12_000 {
            let mut stream = random::of_sample(4, 0, sample);
            let rectangle = CutoutConfig { side: 2 }.draw(&mut stream, ImageShape::new(1, 3, 4));
            *counts.entry(rectangle).or_insert(0) += 1;
        }
        let along = |length: usize| {
            (0..length).map(|centre: usize| match centre {
                0 => (0, 1),
                _ => (centre - 1, 2),
            })
        };
        for (top, height) in along(3) {
            for (left, width) in along(4) {
                // 1000 ± 5 deviations of a binomial.
                let count = counts.remove(&Rectangle { top, left, height, width }).unwrap();
                assert!((850..=1150).contains(&count), "{count}");
            }
        }
        assert_eq!(counts, HashMap::new());
    }

    #[test]
    fn an_odd_side_is_centred() {
        let config = CutoutConfig { side: 5 };
        let whole = (0..100)
            .map(|sample| {
                config.draw(&mut random::of_sample(0, 0, sample), ImageShape::new(1, 5, 5))
            })
            .find(|rectangle| rectangle.height == 5 && rectangle.width == 5)
            .unwrap();
        assert_eq!(whole, Rectangle { top: 0, left: 0, height: 5, width: 5 });
    }

    #[test]
    fn a_side_beyond_the_image_is_rejected() {
        for side in [0, 9] {
            let error = CutoutConfig { side }.check("data.augment[1]", ImageShape::new(3, 8, 12));
            assert_eq!(
                error.unwrap_err().to_string(),
                format!(
                    "`data.augment[1].cutout.side` is {side}, \
                     expected 1 to 8, the shorter side of images of 8×12"
                )
            );
        }
    }
}
