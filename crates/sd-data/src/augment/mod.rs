//! Random changes of training images.
//!
//! There are three kinds. The first and the last copy no image:
//!
//! - Moving pixels ([`PadCropConfig`], [`FlipConfig`]) changes where the image is placed.
//! - Changing values ([`RandomResizedCropConfig`], [`AutoAugmentConfig`], [`RandAugmentConfig`],
//!   [`TrivialAugmentWideConfig`], [`ColorJitterConfig`]) works on a copy of the bytes, in memory
//!   that is reused for the next image. The copy applies the placement so far.
//! - Erasing ([`RandomErasingConfig`], [`CutoutConfig`]) sets values after normalisation, and so
//!   comes last.
//!
//! A single pass then reads the placed image, normalises each byte through a table and writes the
//! batch.
//!
//! A new augmentation is one file here, its `mod` line and its line in [`AugmentConfig`].

mod auto_augment;
mod canvas;
mod color_jitter;
mod cutout;
mod flip;
mod operation;
mod pad_crop;
mod placement;
mod rand_augment;
mod random_erasing;
mod random_resized_crop;
mod trivial_augment_wide;

pub use auto_augment::AutoAugmentPolicy;
pub use canvas::Canvas;
pub(crate) use canvas::Scratch;
use placement::Placement;

use crate::random::Stream;
use crate::{Error, ImageShape, Result};
use schemars::JsonSchema;
use sd_variants::variants;
use serde::{Deserialize, Serialize};

/// A random change of one image.
pub trait Augment {
    /// Checks the values against the shape of the images; `key` names this augmentation in errors.
    ///
    /// # Errors
    /// If a value is out of range or the shape is unsupported.
    fn check(&self, key: &str, shape: ImageShape) -> Result<()>;

    /// Whether it sets values after normalisation, so that only another erasure may follow.
    fn erases(&self) -> bool {
        false
    }

    /// Whether it crops the image and resizes the crop, so that it gains from an image that was not
    /// resized before.
    fn crops_the_original(&self) -> bool {
        false
    }

    /// Draws the change for one image and applies it on top of the earlier ones in `canvas`.
    fn apply(&self, random: &mut Stream, canvas: &mut Canvas);
}

variants! {
    /// A random change of training images; a list is applied in order.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum AugmentConfig: Augment {
        PadCrop(pad_crop::PadCropConfig),
        Flip(flip::FlipConfig),
        RandomResizedCrop(random_resized_crop::RandomResizedCropConfig),
        AutoAugment(auto_augment::AutoAugmentConfig),
        RandAugment(rand_augment::RandAugmentConfig),
        TrivialAugmentWide(trivial_augment_wide::TrivialAugmentWideConfig),
        ColorJitter(color_jitter::ColorJitterConfig),
        RandomErasing(random_erasing::RandomErasingConfig),
        Cutout(cutout::CutoutConfig),
    }
}

/// Checks a list of augmentations; the key of the first is `data.augment[0]`.
pub(crate) fn check_all(augment: &[AugmentConfig], shape: ImageShape) -> Result<()> {
    let mut erasure = None;
    for (index, one) in augment.iter().enumerate() {
        let key = format!("data.augment[{index}]");
        one.get().check(&key, shape)?;
        if one.get().erases() {
            erasure = Some(index);
        } else if let Some(erasure) = erasure {
            return Err(Error::value(
                key,
                format_args!("after an erasure, `data.augment[{erasure}]`"),
                "`random_erasing` and `cutout` at the end of the list: \
                 they set values after normalisation",
            ));
        }
    }
    Ok(())
}

/// Applies all of `augment`, in order.
pub(crate) fn apply_all(augment: &[AugmentConfig], random: &mut Stream, canvas: &mut Canvas) {
    for one in augment {
        one.get().apply(random, canvas);
    }
}

fn check_probability(probability: f64, key: impl Fn() -> String) -> Result<()> {
    if (0.0..=1.0).contains(&probability) {
        Ok(())
    } else {
        Err(Error::value(key(), probability, "a number between 0 and 1"))
    }
}

/// Checks the area share and the aspect ratio of a rectangle.
fn check_scale_and_ratio(key: &str, scale: [f64; 2], ratio: [f64; 2]) -> Result<()> {
    let [least, most] = scale;
    if !(0.0 <= least && least <= most && most <= 1.0) {
        return Err(Error::value(
            format!("{key}.scale"),
            format_args!("{scale:?}"),
            "two numbers between 0 and 1, the smaller first",
        ));
    }
    let [least, most] = ratio;
    if !(0.0 < least && least <= most && most.is_finite()) {
        return Err(Error::value(
            format!("{key}.ratio"),
            format_args!("{ratio:?}"),
            "two numbers above 0, the smaller first",
        ));
    }
    Ok(())
}

/// Checks the number of magnitude bins: a scale has two ends.
fn check_bins(bins: usize, key: impl Fn() -> String) -> Result<()> {
    if bins >= 2 { Ok(()) } else { Err(Error::value(key(), bins, "at least 2")) }
}

/// Checks that images are greyscale or RGB, which colour operations need.
fn check_grey_or_color(key: &str, name: &str, shape: ImageShape) -> Result<()> {
    match shape.channels {
        1 | 3 => Ok(()),
        channels => Err(Error::value(
            format!("{key}.{name}"),
            format_args!("on images of {channels} channels"),
            "images of 1 (greyscale) or 3 (RGB) channels",
        )),
    }
}

#[cfg(test)]
mod tests;
