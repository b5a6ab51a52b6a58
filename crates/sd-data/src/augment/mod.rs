//! Random changes to the images that a network trains on.
//!
//! There are three sorts, and no image is copied for the first and the last:
//!
//! - What moves pixels ([`PadCropConfig`], [`FlipConfig`]) turns a [`Placement`].
//! - What changes their values ([`RandomResizedCropConfig`], [`AutoAugmentConfig`], [`RandAugmentConfig`],
//!   [`TrivialAugmentWideConfig`], [`ColorJitterConfig`]) works on a copy of bytes, in memory that
//!   the next image uses again. What was placed before is placed when the copy is made.
//! - What erases ([`RandomErasingConfig`], [`CutoutConfig`]) sets values after normalisation, and
//!   so comes last.
//!
//! One pass then reads the image where the placement says, normalises each byte through a table
//! and writes the batch.
//!
//! A new augmentation is a file here, a variant of [`AugmentConfig`], and an arm in `check`,
//! `erases` and `apply`.

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

pub use auto_augment::{AutoAugmentConfig, AutoAugmentPolicy};
pub(crate) use canvas::{Canvas, Scratch};
pub use color_jitter::ColorJitterConfig;
pub use cutout::CutoutConfig;
pub use flip::FlipConfig;
pub use pad_crop::PadCropConfig;
pub use placement::Placement;
pub use rand_augment::RandAugmentConfig;
pub use random_erasing::RandomErasingConfig;
pub use random_resized_crop::RandomResizedCropConfig;
pub use trivial_augment_wide::TrivialAugmentWideConfig;

use crate::random::Stream;
use crate::{Error, ImageShape, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One random change; a list of them is applied in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AugmentConfig {
    /// A border of black pixels, then a crop of the original size at a random place.
    PadCrop(PadCropConfig),
    /// Left and right exchanged, by chance.
    Flip(FlipConfig),
    /// A part of random size, shape and place, resized to the whole.
    RandomResizedCrop(RandomResizedCropConfig),
    /// Two operations of a policy that a search found.
    AutoAugment(AutoAugmentConfig),
    /// A few operations, each as strong as the others.
    RandAugment(RandAugmentConfig),
    /// One operation, of any strength.
    TrivialAugmentWide(TrivialAugmentWideConfig),
    /// Brightness, contrast, saturation and hue, changed a little.
    ColorJitter(ColorJitterConfig),
    /// A rectangle of any size, shape and place erased, by chance.
    RandomErasing(RandomErasingConfig),
    /// A square of one size erased.
    Cutout(CutoutConfig),
}

impl AugmentConfig {
    /// Checks the numbers against the images; `key` is what errors call this augmentation.
    pub(crate) fn check(&self, key: &str, shape: ImageShape) -> Result<()> {
        match self {
            Self::PadCrop(config) => config.check(key, shape),
            Self::Flip(config) => config.check(key),
            Self::RandomResizedCrop(config) => config.check(key, shape),
            Self::AutoAugment(config) => config.check(key, shape),
            Self::RandAugment(config) => config.check(key, shape),
            Self::TrivialAugmentWide(config) => config.check(key, shape),
            Self::ColorJitter(config) => config.check(key, shape),
            Self::RandomErasing(config) => config.check(key),
            Self::Cutout(config) => config.check(key, shape),
        }
    }

    /// Whether values are set after normalisation, so that only the same may follow.
    fn erases(&self) -> bool {
        match self {
            Self::RandomErasing(_) | Self::Cutout(_) => true,
            Self::PadCrop(_)
            | Self::Flip(_)
            | Self::RandomResizedCrop(_)
            | Self::AutoAugment(_)
            | Self::RandAugment(_)
            | Self::TrivialAugmentWide(_)
            | Self::ColorJitter(_) => false,
        }
    }

    /// Draws the change for one image and applies it after what `canvas` holds.
    fn apply(&self, random: &mut Stream, canvas: &mut Canvas) {
        match self {
            Self::PadCrop(config) => config.apply(random, canvas),
            Self::Flip(config) => config.apply(random, canvas),
            Self::RandomResizedCrop(config) => config.apply(random, canvas),
            Self::AutoAugment(config) => config.apply(random, canvas),
            Self::RandAugment(config) => config.apply(random, canvas),
            Self::TrivialAugmentWide(config) => config.apply(random, canvas),
            Self::ColorJitter(config) => config.apply(random, canvas),
            Self::RandomErasing(config) => config.apply(random, canvas),
            Self::Cutout(config) => config.apply(random, canvas),
        }
    }
}

/// Checks a list of augmentations; errors call the first `data.augment[0]`.
pub(crate) fn check_all(augment: &[AugmentConfig], shape: ImageShape) -> Result<()> {
    let mut erasure = None;
    for (index, one) in augment.iter().enumerate() {
        let key = format!("data.augment[{index}]");
        one.check(&key, shape)?;
        if one.erases() {
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
        one.apply(random, canvas);
    }
}

fn check_probability(probability: f64, key: impl Fn() -> String) -> Result<()> {
    if (0.0..=1.0).contains(&probability) {
        Ok(())
    } else {
        Err(Error::value(key(), probability, "a number between 0 and 1"))
    }
}

/// Rectangles take a share of the image and have some ratio of their sides.
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

/// The magnitudes of a scale go from one end to the other.
fn check_bins(bins: usize, key: impl Fn() -> String) -> Result<()> {
    if bins >= 2 { Ok(()) } else { Err(Error::value(key(), bins, "at least 2")) }
}

/// Operations on colours know grey images and those of red, green and blue.
fn check_grey_or_color(key: &str, name: &str, shape: ImageShape) -> Result<()> {
    match shape.channels {
        1 | 3 => Ok(()),
        channels => Err(Error::value(
            format!("{key}.{name}"),
            format_args!("on images of {channels} channels"),
            "images of 1 (grey) or 3 (red, green, blue)",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    /// The configurations with which every augmentation is tested.
    fn examples() -> Vec<AugmentConfig> {
        let pad_crop = AugmentConfig::PadCrop(PadCropConfig { padding: 2 });
        // A new variant fails to compile here until it is added below.
        match pad_crop {
            AugmentConfig::PadCrop(_)
            | AugmentConfig::Flip(_)
            | AugmentConfig::RandomResizedCrop(_)
            | AugmentConfig::AutoAugment(_)
            | AugmentConfig::RandAugment(_)
            | AugmentConfig::TrivialAugmentWide(_)
            | AugmentConfig::ColorJitter(_)
            | AugmentConfig::RandomErasing(_)
            | AugmentConfig::Cutout(_) => vec![
                pad_crop,
                AugmentConfig::Flip(FlipConfig { probability: 0.5 }),
                AugmentConfig::RandomResizedCrop(RandomResizedCropConfig::default()),
                AugmentConfig::AutoAugment(AutoAugmentConfig {
                    policy: AutoAugmentPolicy::Cifar10,
                    fill: 0,
                }),
                AugmentConfig::RandAugment(RandAugmentConfig::default()),
                AugmentConfig::TrivialAugmentWide(TrivialAugmentWideConfig::default()),
                AugmentConfig::ColorJitter(ColorJitterConfig {
                    brightness: 0.4,
                    contrast: 0.4,
                    saturation: 0.4,
                    hue: 0.1,
                }),
                AugmentConfig::RandomErasing(RandomErasingConfig::default()),
                AugmentConfig::Cutout(CutoutConfig { side: 4 }),
            ],
        }
    }

    #[test]
    fn one_name_one_image_and_many_over_many_names() {
        for shape in [ImageShape::new(3, 8, 8), ImageShape::new(1, 5, 9)] {
            let source: Vec<u8> = (0..shape.values()).map(|i| (i * 41 % 251) as u8).collect();
            let tables = vec![std::array::from_fn(|byte| byte as f32 - 100.0); shape.channels];
            let mut scratch = Scratch::new(shape);
            for one in examples() {
                one.check("data.augment[0]", shape).unwrap();
                let mut augmented = |sample| {
                    let mut canvas = Canvas::new(&source, &mut scratch);
                    one.apply(&mut random::of_sample(0, 0, sample), &mut canvas);
                    let mut target = vec![f32::NAN; shape.values()];
                    canvas.write(&tables, &mut target);
                    target
                };
                let first = augmented(0);
                let others: Vec<_> = (1..64).map(&mut augmented).collect();
                assert!(others.iter().any(|other| *other != first), "{one:?} changes nothing");
                // The scratch memory, by now of another image, is no part of the result.
                assert_eq!(augmented(0), first, "{one:?}");
            }
        }
    }

    #[test]
    fn nothing_but_an_erasure_follows_an_erasure() {
        let [flip, erasing, cutout] = [1, 7, 8].map(|index| examples()[index].clone());
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
    fn what_is_read_is_written_again() {
        let text = toml::to_string(&Holder { augment: examples() }).unwrap();
        assert_eq!(read(&text).unwrap(), examples());
    }
}
