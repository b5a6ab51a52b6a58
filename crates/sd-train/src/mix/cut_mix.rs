//! CutMix (Yun et al. 2019, <https://arxiv.org/abs/1905.04899>).

use anyhow::{Result, ensure};
use rand::RngExt;
use schemars::JsonSchema;
use sd_data::random::Stream;
use serde::{Deserialize, Serialize};

use super::{Mixture, beta, check_alpha};

/// A rectangle of the image's proportions, 1 − share of its area with the share of Beta(α, α), its
/// centre anywhere in the image; what lies outside is cut off. The labels' shares are those of the
/// pixels that are left. One rectangle a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CutMix {
    /// α, positive; published 1, which makes every share as likely.
    pub alpha: f64,
    /// Of mixing a batch, 0 to 1; published 0.5 on CIFAR, 1 on ImageNet.
    pub probability: f64,
}

impl CutMix {
    /// What a batch of images of `[height, width]` is mixed by, if it is.
    pub fn draw(&self, random: &mut Stream, [rows, columns]: [i64; 2]) -> Option<Mixture> {
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

    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            (0.0..=1.0).contains(&self.probability),
            "mix: probability is {}, expected 0 to 1",
            self.probability
        );
        check_alpha(self.alpha)
    }
}
