//! Horizontal flips.

use super::{Augment, Canvas, Placement, check_probability};
use crate::random::Stream;
use crate::{ImageShape, Result};
use rand::RngExt;
use schemars::JsonSchema;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};

/// Random horizontal flip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlipConfig {
    /// Probability, between 0 and 1. Default: 0.5.
    #[serde(default = "half")]
    pub probability: f64,
    /// Flips each image in every second epoch, after a draw for the first one (Jordan 2024,
    /// <https://arxiv.org/abs/2404.00498>). Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alternating: bool,
}

fn half() -> f64 {
    0.5
}

impl Augment for FlipConfig {
    fn check(&self, key: &str, _: ImageShape) -> Result<()> {
        check_probability(self.probability, || format!("{key}.flip.probability"))
    }

    fn apply(&self, random: &mut Stream, canvas: &mut Canvas) {
        canvas.place(|placement| self.draw(random, placement));
    }
}

impl Examples for FlipConfig {
    fn examples() -> Vec<Self> {
        vec![
            Self { probability: half(), alternating: false },
            Self { probability: half(), alternating: true },
        ]
    }
}

impl FlipConfig {
    fn draw(&self, random: &mut Stream, placement: Placement) -> Placement {
        let flips = if self.alternating {
            let first = random.of_all_epochs().random_bool(self.probability);
            first != (random.epoch() % 2 == 1)
        } else {
            random.random_bool(self.probability)
        };
        if flips { placement.mirrored() } else { placement }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn flips_with_the_given_probability() {
        for (probability, expected) in [(0.0, 0..=0), (0.3, 250..=350), (1.0, 1000..=1000)] {
            let flips = (0..1000)
                .filter(|&sample| {
                    let mut stream = random::of_sample(5, 0, sample);
                    FlipConfig { probability, alternating: false }
                        .draw(&mut stream, Placement::default())
                        != Placement::default()
                })
                .count();
            assert!(expected.contains(&flips), "{flips} flips of 1000 at {probability}");
        }
    }

    #[test]
    fn a_probability_out_of_range_is_rejected() {
        for probability in [-0.1, 1.5, f64::NAN] {
            let error = FlipConfig { probability, alternating: false }
                .check("data.augment[1]", ImageShape::new(3, 8, 8))
                .unwrap_err();
            let expected = format!(
                "`data.augment[1].flip.probability` is {probability}, \
                 expected a number between 0 and 1"
            );
            assert_eq!(error.to_string(), expected);
        }
    }
}
