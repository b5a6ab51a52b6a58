//! Mixing: each image of a batch becomes a mixture of itself and another image, and so does its
//! label.

mod cut_mix;
mod mixup;

use anyhow::Result;
use rand::seq::SliceRandom;
use rand_distr::{Beta, Distribution};
use schemars::JsonSchema;
use sd_data::random::{self, Stream};
use sd_variants::variants;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{MixedLabels, Targets, TrainBatch, device};
use crate::ranges;

variants! {
    /// How the images of a batch are mixed. In TOML: `mix = { mixup = { alpha = 0.2 } }`.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum MixConfig: Mix {
        Mixup(mixup::Mixup),
        CutMix(cut_mix::CutMix),
    }
}

/// A way to mix the images of a batch.
pub trait Mix {
    /// Its name in records.
    fn name(&self) -> &'static str;

    /// α of the Beta distribution that the share of an image is drawn from.
    fn alpha(&self) -> f64;

    /// Checks the ranges of its values.
    ///
    /// # Errors
    /// Names the value and its range.
    fn check(&self) -> Result<()>;

    /// Draws the mixture of a batch of images of `[height, width]`; `None` leaves it as it is.
    fn draw(&self, random: &mut Stream, side: [i64; 2]) -> Option<Mixture>;
}

/// How two images are combined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mixture {
    /// Weighted sum: this share of each image, and the rest of the other.
    Sum(f64),
    /// Each image with this rectangle taken from the other.
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
    /// Mixes a batch. The mixture depends on (seed, number) and the batch size alone; `number`
    /// counts batches from the start of the run.
    pub fn apply(&self, batch: TrainBatch, seed: u64, number: u64) -> TrainBatch {
        let mut random = random::of_mix(seed, number);
        let (count, _, height, width) = batch.images.size4().expect("images are [N, C, H, W]");
        let Some(mixture) = self.get().draw(&mut random, [height, width]) else { return batch };
        let mut others: Vec<i64> = (0..count).collect();
        others.shuffle(&mut random);
        let others = device::put(Tensor::from_slice(&others), batch.images.device());
        let TrainBatch { images, partners, targets, epoch } = batch;
        let labels = targets.labels.index_select(0, &others);
        let mixed = Some(MixedLabels { labels, share: mixture.share([height, width]) });
        TrainBatch {
            images: mixture.apply(&images, &others),
            partners: partners.map(|partners| mixture.apply(&partners, &others)),
            targets: Targets { mixed, ..targets },
            epoch,
        }
    }
}

impl Mixture {
    /// Share of an image of `[height, width]` that is its own, 0 to 1.
    pub fn share(self, [rows, columns]: [i64; 2]) -> f64 {
        match self {
            Self::Sum(share) => share,
            Self::Rectangle { height, width, .. } => {
                1.0 - (height * width) as f64 / (rows * columns) as f64
            }
        }
    }

    /// Mixes each of `images` `[N, C, H, W]` with the image of the batch that `others` `[N]` names.
    pub fn apply(self, images: &Tensor, others: &Tensor) -> Tensor {
        // As [N, H, W, C], contiguous: index_select does not keep channels-last memory.
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

/// Draws from Beta(α, α).
fn beta(alpha: f64, random: &mut Stream) -> f64 {
    Beta::new(alpha, alpha).expect("`check` requires a positive alpha").sample(random)
}

fn check_alpha(alpha: f64) -> Result<()> {
    ranges::positive("mix: alpha", alpha)
}

#[cfg(test)]
mod tests;
