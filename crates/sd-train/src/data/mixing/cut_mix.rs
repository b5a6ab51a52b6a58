//! CutMix (Yun et al. 2019, <https://arxiv.org/abs/1905.04899>).

use anyhow::Result;
use rand::RngExt;
use schemars::JsonSchema;
use sd_data::random::Stream;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};

use super::{Mix, Mixture, beta, check_alpha};
use crate::ranges;

/// Replaces a rectangle of each image by that of another one.
///
/// The rectangle has the proportions of the image and 1 − λ of its area, with λ of Beta(α, α). Its
/// centre is anywhere in the image; what lies outside is cut off. The labels' shares are those of
/// the remaining pixels. One rectangle per batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CutMix {
    /// α, positive; published 1, the uniform distribution.
    pub alpha: f64,
    /// Probability of mixing a batch, 0 to 1; published 0.5 on CIFAR, 1 on ImageNet.
    pub probability: f64,
}

impl Examples for CutMix {
    fn examples() -> Vec<Self> {
        vec![Self { alpha: 1.0, probability: 1.0 }]
    }
}

impl Mix for CutMix {
    fn name(&self) -> &'static str {
        "CutMix"
    }

    fn alpha(&self) -> f64 {
        self.alpha
    }

    fn check(&self) -> Result<()> {
        ranges::share("mix: probability", self.probability)?;
        check_alpha(self.alpha)
    }

    fn draw(&self, random: &mut Stream, [rows, columns]: [i64; 2]) -> Option<Mixture> {
        if !random.random_bool(self.probability) {
            return None;
        }
        let side = (1.0 - beta(self.alpha, random)).sqrt();
        let mut range = |length: i64| {
            let centre = random.random_range(0..length);
            let half = (length as f64 * side) as i64 / 2;
            ((centre - half).max(0), (centre + half).min(length))
        };
        let ((top, bottom), (left, right)) = (range(rows), range(columns));
        Some(Mixture::Rectangle { top, left, height: bottom - top, width: right - left })
    }
}
