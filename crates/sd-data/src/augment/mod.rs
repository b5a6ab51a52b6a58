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

    /// Draws the change for one image and applies it on top of the earlier ones in `canvas`.
    fn apply(&self, random: &mut Stream, canvas: &mut Canvas);
}

variants! {
    /// A random change of training images; a list is applied in order.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum AugmentConfig: Augment {
        ;
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
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn changes_depend_only_on_the_stream() {
        for shape in [ImageShape::new(3, 16, 16), ImageShape::new(1, 16, 19)] {
            let source: Vec<u8> = (0..shape.values()).map(|i| (i * 41 % 251) as u8).collect();
            let tables = vec![std::array::from_fn(|byte| byte as f32 - 100.0); shape.channels];
            let mut scratch = Scratch::new(shape);
            for one in AugmentConfig::examples() {
                one.get().check("data.augment[0]", shape).unwrap();
                let mut augmented = |sample| {
                    let mut canvas = Canvas::new(&source, &mut scratch);
                    one.get().apply(&mut random::of_sample(0, 0, sample), &mut canvas);
                    let mut target = vec![f32::NAN; shape.values()];
                    canvas.write(&tables, &mut target);
                    target
                };
                let first = augmented(0);
                let others: Vec<_> = (1..64).map(&mut augmented).collect();
                assert!(others.iter().any(|other| *other != first), "{one:?} changes nothing");
                // The result does not depend on what other images left in the scratch memory.
                assert_eq!(augmented(0), first, "{one:?}");
            }
        }
    }

    #[test]
    fn only_erasures_follow_an_erasure() {
        let flip = AugmentConfig::Flip(FlipConfig { probability: 0.5 });
        let erasing = AugmentConfig::RandomErasing(RandomErasingConfig::default());
        let cutout = AugmentConfig::Cutout(CutoutConfig { side: 4 });
        let shape = ImageShape::new(3, 8, 8);
        check_all(&[flip.clone(), erasing.clone(), cutout.clone()], shape).unwrap();
        assert_eq!(
            check_all(&[erasing, cutout, flip], shape).unwrap_err().to_string(),
            "`data.augment[2]` is after an erasure, `data.augment[1]`, expected `random_erasing` \
             and `cutout` at the end of the list: they set values after normalisation"
        );
    }

    #[derive(Debug, Deserialize, Serialize)]
    struct Holder {
        augment: Vec<AugmentConfig>,
    }

    fn read(text: &str) -> std::result::Result<Vec<AugmentConfig>, toml::de::Error> {
        toml::from_str(text).map(|Holder { augment }| augment)
    }

    #[test]
    fn reads_the_documented_toml() {
        assert_eq!(
            read("augment = [{ pad_crop = { padding = 4 } }, { flip = {} }]").unwrap(),
            [
                AugmentConfig::PadCrop(PadCropConfig { padding: 4 }),
                AugmentConfig::Flip(FlipConfig { probability: 0.5 }),
            ]
        );
        assert_eq!(
            read(
                "augment = [{ random_resized_crop = {} }, { auto_augment = { policy = 'imagenet' } }, { rand_augment = {} }, \
                 { trivial_augment_wide = {} }, { color_jitter = { hue = 0.1 } }, \
                 { random_erasing = {} }, { cutout = { side = 16 } }]"
            )
            .unwrap(),
            [
                AugmentConfig::RandomResizedCrop(RandomResizedCropConfig {
                    scale: [0.08, 1.0],
                    ratio: [3.0 / 4.0, 4.0 / 3.0],
                }),
                AugmentConfig::AutoAugment(AutoAugmentConfig {
                    policy: AutoAugmentPolicy::Imagenet,
                    fill: 0
                }),
                AugmentConfig::RandAugment(RandAugmentConfig {
                    num_ops: 2,
                    magnitude: 9,
                    num_magnitude_bins: 31,
                    fill: 0,
                }),
                AugmentConfig::TrivialAugmentWide(TrivialAugmentWideConfig {
                    num_magnitude_bins: 31,
                    fill: 0,
                }),
                AugmentConfig::ColorJitter(ColorJitterConfig {
                    brightness: 0.0,
                    contrast: 0.0,
                    saturation: 0.0,
                    hue: 0.1,
                }),
                AugmentConfig::RandomErasing(RandomErasingConfig {
                    probability: 0.5,
                    scale: [0.02, 0.33],
                    ratio: [0.3, 3.3],
                }),
                AugmentConfig::Cutout(CutoutConfig { side: 16 }),
            ]
        );
        for wrong in [
            "{ flip = { chance = 0.1 } }",
            "{ rotate = {} }",
            "{ auto_augment = {} }",
            "{ auto_augment = { policy = 'svhn' } }",
            "{ auto_augment = { policy = 'cifar10', fill = 256 } }",
            "{ rand_augment = { ops = 1 } }",
            "{ trivial_augment_wide = { magnitude = 1 } }",
            "{ color_jitter = { colour = 1.0 } }",
            "{ random_erasing = { value = 0 } }",
            "{ cutout = {} }",
        ] {
            assert!(read(&format!("augment = [{wrong}]")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_example_reads_back_from_toml() {
        let augment = AugmentConfig::examples();
        let text = toml::to_string(&Holder { augment: augment.clone() }).unwrap();
        assert_eq!(read(&text).unwrap(), augment);
    }
}
