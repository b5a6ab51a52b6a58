//! Random changes to the images that a network trains on.
//!
//! An augmentation that only moves pixels does not touch them: it turns a [`Placement`], and one
//! pass then reads the source image where the last placement says, normalises each byte through a
//! table and writes the batch. Crops and flips thus cost no copy, however many there are.
//!
//! A new augmentation is a file here, a variant of [`AugmentConfig`], and an arm in `check` and in
//! `draw`. One that changes pixel values takes a scratch image for each worker, filled before the
//! pass and read by it in place of the source; the placement stays as it is.

mod flip;
mod pad_crop;
mod placement;

pub use flip::FlipConfig;
pub use pad_crop::PadCropConfig;
pub use placement::Placement;

use crate::random::Stream;
use crate::{ImageShape, Result};
use serde::{Deserialize, Serialize};

/// One random change; a list of them is applied in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AugmentConfig {
    /// A border of black pixels, then a crop of the original size at a random place.
    PadCrop(PadCropConfig),
    /// Left and right exchanged, by chance.
    Flip(FlipConfig),
}

impl AugmentConfig {
    /// Checks the numbers against the images; `key` is what errors call this augmentation.
    pub(crate) fn check(&self, key: &str, shape: ImageShape) -> Result<()> {
        match self {
            Self::PadCrop(config) => config.check(key, shape),
            Self::Flip(config) => config.check(key),
        }
    }

    /// Draws the change for one image and applies it after what `placement` holds.
    fn draw(&self, random: &mut Stream, placement: Placement) -> Placement {
        match self {
            Self::PadCrop(config) => config.draw(random, placement),
            Self::Flip(config) => config.draw(random, placement),
        }
    }
}

/// Checks a list of augmentations; errors call the first `data.augment[0]`.
pub(crate) fn check_all(augment: &[AugmentConfig], shape: ImageShape) -> Result<()> {
    for (index, one) in augment.iter().enumerate() {
        one.check(&format!("data.augment[{index}]"), shape)?;
    }
    Ok(())
}

/// Draws all of `augment`, in order, for one image.
pub(crate) fn draw_all(augment: &[AugmentConfig], random: &mut Stream) -> Placement {
    augment.iter().fold(Placement::default(), |placement, one| one.draw(random, placement))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The configurations with which every augmentation is tested.
    fn examples() -> Vec<AugmentConfig> {
        let pad_crop = AugmentConfig::PadCrop(PadCropConfig { padding: 2 });
        let flip = AugmentConfig::Flip(FlipConfig { probability: 0.5 });
        // A new variant fails to compile here until it is added above.
        match pad_crop {
            AugmentConfig::PadCrop(_) | AugmentConfig::Flip(_) => vec![pad_crop, flip],
        }
    }

    #[test]
    fn one_name_one_placement_and_many_over_many_names() {
        for one in examples() {
            let draw = |sample| {
                draw_all(std::slice::from_ref(&one), &mut crate::random::of_sample(0, 0, sample))
            };
            assert_eq!(draw(0), draw(0));
            assert!((1..64).any(|sample| draw(sample) != draw(0)), "{one:?} changes nothing");
            one.check("data.augment[0]", ImageShape::new(3, 8, 8)).unwrap();
        }
    }

    #[test]
    fn reads_the_documented_toml() {
        #[derive(Deserialize)]
        struct Holder {
            augment: Vec<AugmentConfig>,
        }
        let read = |text: &str| toml::from_str::<Holder>(text).map(|holder| holder.augment);
        assert_eq!(
            read("augment = [{ pad_crop = { padding = 4 } }, { flip = {} }]").unwrap(),
            [
                AugmentConfig::PadCrop(PadCropConfig { padding: 4 }),
                AugmentConfig::Flip(FlipConfig { probability: 0.5 }),
            ]
        );
        assert!(read("augment = [{ flip = { chance = 0.1 } }]").is_err());
        assert!(read("augment = [{ rotate = {} }]").is_err());
    }
}
