//! Batches of mixed images: each becomes a mixture of itself and another one of the batch, and so
//! does its label.

mod cut_mix;
mod mixup;

pub use cut_mix::CutMix;
pub use mixup::Mixup;

use anyhow::{Result, ensure};
use rand::seq::SliceRandom;
use rand_distr::{Beta, Distribution};
use schemars::JsonSchema;
use sd_data::random::{self, Stream};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::batch::Lesson;
use crate::device;
use crate::objective::{Mixed, Targets};

/// How images are mixed. In TOML: `mix = { mixup = { alpha = 0.2 } }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MixConfig {
    /// A weighted sum of the two.
    Mixup(Mixup),
    /// A rectangle of the other one in place of its own.
    CutMix(CutMix),
}

/// What the images of a batch are made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mixture {
    /// This share of each image, and the rest of the other.
    Sum(f64),
    /// Each image, and this rectangle of the other.
    Rectangle {
        /// First row.
        top: i64,
        /// First column.
        left: i64,
        /// Rows.
        height: i64,
        /// Columns.
        width: i64,
    },
}

impl MixConfig {
    /// The batch mixed. What is drawn depends on (seed, step) alone, `step` counted from 0 over all
    /// epochs, and on the batch's size.
    pub fn apply(&self, lesson: Lesson, seed: u64, step: u64) -> Lesson {
        let mut random = random::of_mix(seed, step);
        let (batch, _, height, width) = lesson.images.size4().expect("images are [N, C, H, W]");
        let drawn = match self {
            Self::Mixup(mixup) => Some(mixup.draw(&mut random)),
            Self::CutMix(cut_mix) => cut_mix.draw(&mut random, [height, width]),
        };
        let Some(mixture) = drawn else { return lesson };
        let mut others: Vec<i64> = (0..batch).collect();
        others.shuffle(&mut random);
        let others = device::put(Tensor::from_slice(&others), lesson.images.device());
        let Lesson { images, partners, targets } = lesson;
        let labels = targets.labels.index_select(0, &others);
        let mixed = Some(Mixed { labels, share: mixture.share([height, width]) });
        Lesson {
            images: mixture.of(&images, &others),
            partners: partners.map(|partners| mixture.of(&partners, &others)),
            targets: Targets { mixed, ..targets },
        }
    }

    /// In two words, such as `mixup 0.2`.
    pub fn describe(&self) -> String {
        match self {
            Self::Mixup(mixup) => format!("mixup {}", mixup.alpha),
            Self::CutMix(cut_mix) => format!("CutMix {}", cut_mix.alpha),
        }
    }

    /// Checks the ranges of its values.
    ///
    /// # Errors
    /// Names the value and its range.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Mixup(mixup) => mixup.check(),
            Self::CutMix(cut_mix) => cut_mix.check(),
        }
    }
}

impl Mixture {
    /// How much of an image of `[height, width]` is its own.
    pub fn share(self, [rows, columns]: [i64; 2]) -> f64 {
        match self {
            Self::Sum(share) => share,
            Self::Rectangle { height, width, .. } => {
                1.0 - (height * width) as f64 / (rows * columns) as f64
            }
        }
    }

    /// Images `[N, C, H, W]`, channels last in memory, each mixed with that of the batch which
    /// `others` `[N]` names.
    pub fn of(self, images: &Tensor, others: &Tensor) -> Tensor {
        // As [N, H, W, C], plain in memory: a selection of channels-last images is not channels-last.
        let rows = images.permute([0, 2, 3, 1]);
        let mixed = match self {
            Self::Sum(share) => &rows * share + rows.index_select(0, others) * (1.0 - share),
            Self::Rectangle { top, left, height, width } => {
                let within = |images: &Tensor| images.narrow(1, top, height).narrow(2, left, width);
                let mixed = rows.copy();
                within(&mixed).copy_(&within(&rows).index_select(0, others));
                mixed
            }
        };
        mixed.permute([0, 3, 1, 2])
    }
}

/// A number from 0 to 1 with the density of Beta(α, α).
fn beta(alpha: f64, random: &mut Stream) -> f64 {
    Beta::new(alpha, alpha).expect("`check` refuses what is not above 0").sample(random)
}

fn check_alpha(alpha: f64) -> Result<()> {
    ensure!(alpha > 0.0 && alpha.is_finite(), "mix: alpha is {alpha}, expected a number above 0");
    Ok(())
}

#[cfg(test)]
mod tests;
