//! Random brightness, contrast, saturation and hue.

use super::operation::Operation;
use super::{Augment, Canvas, check_grey_or_color};
use crate::random::Stream;
use crate::{Error, ImageShape, Result};
use rand::RngExt;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};

/// Random brightness, contrast, saturation and hue: uniform draws, applied in random order. On
/// greyscale images, saturation and hue have no effect.
///
/// <https://arxiv.org/abs/1312.5402>, section 2, as torchvision's `ColorJitter`. The defaults are 0,
/// no change. For images of one or three channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColorJitterConfig {
    /// At least 0: the factor is between max(0, 1 − `brightness`) and 1 + `brightness`.
    #[serde(default)]
    pub brightness: f64,
    /// At least 0, likewise.
    #[serde(default)]
    pub contrast: f64,
    /// At least 0, likewise.
    #[serde(default)]
    pub saturation: f64,
    /// Between 0 and 0.5: largest rotation of the hue in either direction, in turns.
    #[serde(default)]
    pub hue: f64,
}

impl Augment for ColorJitterConfig {
    fn check(&self, key: &str, shape: ImageShape) -> Result<()> {
        check_grey_or_color(key, "color_jitter", shape)?;
        let factors = [
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
        ];
        for (name, value) in factors {
            if !(value >= 0.0 && value.is_finite()) {
                let key = format!("{key}.color_jitter.{name}");
                return Err(Error::value(key, value, "a number of at least 0"));
            }
        }
        if !(0.0..=0.5).contains(&self.hue) {
            let key = format!("{key}.color_jitter.hue");
            return Err(Error::value(key, self.hue, "a number between 0 and 0.5"));
        }
        Ok(())
    }

    fn apply(&self, random: &mut Stream, canvas: &mut Canvas) {
        for operation in self.draw(random).into_iter().flatten() {
            canvas.apply(operation, 0);
        }
    }
}

impl Examples for ColorJitterConfig {
    fn examples() -> Vec<Self> {
        vec![Self { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }]
    }
}

impl ColorJitterConfig {
    /// `None` for operations without effect.
    fn draw(&self, random: &mut Stream) -> [Option<Operation>; 4] {
        let mut factor = |around: f64, of: fn(f32) -> Operation| {
            (around > 0.0)
                .then(|| of(random.random_range((1.0 - around).max(0.0)..=1.0 + around) as f32))
        };
        let brightness = factor(self.brightness, Operation::Brightness);
        let contrast = factor(self.contrast, Operation::Contrast);
        let saturation = factor(self.saturation, Operation::Color);
        let hue =
            (self.hue > 0.0).then(|| Operation::Hue(random.random_range(-self.hue..=self.hue)));
        let mut operations = [brightness, contrast, saturation, hue];
        operations.shuffle(random);
        operations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: ColorJitterConfig =
        ColorJitterConfig { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 };
    use crate::random;
    use std::collections::HashSet;

    fn draws(config: &ColorJitterConfig) -> Vec<[Option<Operation>; 4]> {
        (0..2000).map(|sample| config.draw(&mut random::of_sample(0, 0, sample))).collect()
    }

    #[test]
    fn factors_cover_their_ranges_in_any_order() {
        let config =
            ColorJitterConfig { brightness: 0.4, contrast: 2.0, saturation: 0.1, hue: 0.2 };
        let (mut low, mut high) = ([f64::INFINITY; 4], [f64::NEG_INFINITY; 4]);
        let mut orders = HashSet::new();
        for operations in draws(&config) {
            let mut order = Vec::new();
            for operation in operations {
                let (index, value) = match operation.unwrap() {
                    Operation::Brightness(factor) => (0, f64::from(factor)),
                    Operation::Contrast(factor) => (1, f64::from(factor)),
                    Operation::Color(factor) => (2, f64::from(factor)),
                    Operation::Hue(turn) => (3, turn),
                    other => panic!("{other:?} is not part of a jitter"),
                };
                order.push(index);
                low[index] = low[index].min(value);
                high[index] = high[index].max(value);
            }
            orders.insert(order);
        }
        assert_eq!(orders.len(), 24);
        let ranges = [(0.6, 1.4), (0.0, 3.0), (0.9, 1.1), (-0.2, 0.2)];
        for ((low, high), (least, most)) in low.into_iter().zip(high).zip(ranges) {
            let edge = (most - least) * 0.02;
            assert!((least - 1e-6..least + edge).contains(&low), "{low}, expected {least}");
            assert!((most - edge..most + 1e-6).contains(&high), "{high}, expected {most}");
        }
    }

    #[test]
    fn zero_is_no_change() {
        let config = ColorJitterConfig { contrast: 0.5, ..NONE };
        for operations in draws(&config) {
            let changes: Vec<_> = operations.into_iter().flatten().collect();
            assert!(matches!(changes[..], [Operation::Contrast(_)]), "{changes:?}");
        }
    }

    #[test]
    fn values_out_of_range_are_rejected() {
        let message = |config: ColorJitterConfig| {
            let shape = ImageShape::new(3, 8, 8);
            config.check("data.augment[0]", shape).unwrap_err().to_string()
        };
        assert_eq!(
            message(ColorJitterConfig { saturation: -0.5, ..NONE }),
            "`data.augment[0].color_jitter.saturation` is -0.5, expected a number of at least 0"
        );
        assert_eq!(
            message(ColorJitterConfig { brightness: f64::NAN, ..NONE }),
            "`data.augment[0].color_jitter.brightness` is NaN, expected a number of at least 0"
        );
        assert_eq!(
            message(ColorJitterConfig { hue: 0.6, ..NONE }),
            "`data.augment[0].color_jitter.hue` is 0.6, expected a number between 0 and 0.5"
        );
    }
}
