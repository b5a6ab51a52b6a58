//! Normalisation of pixel bytes to zero mean and unit standard deviation.

use crate::{Error, ImageSet, ImageShape, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Source of the mean and the standard deviation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NormalizeConfig {
    /// Measured on the training images, after the validation split and with any border.
    #[default]
    Measured,
    /// Given values.
    Given(GivenNormalization),
}

/// Mean and standard deviation per channel, for pixel values between 0 and 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenNormalization {
    /// Mean per channel, 0 to 1.
    pub mean: Vec<f32>,
    /// Standard deviation per channel, above 0, at most 1.
    pub deviation: Vec<f32>,
}

impl NormalizeConfig {
    /// The normalisation for networks trained on `train`.
    ///
    /// # Errors
    /// If `train` cannot be measured, or the given values do not match its channels.
    pub fn resolve(&self, train: &ImageSet) -> Result<Normalization> {
        match self {
            Self::Measured => Normalization::measure(train),
            Self::Given(given) => {
                given.check(train.shape().channels)?;
                let GivenNormalization { mean, deviation } = given.clone();
                Ok(Normalization { mean, deviation })
            }
        }
    }
}

impl GivenNormalization {
    /// Checks that there is a valid pair for each of `channels`, on the scale of 0 to 1.
    pub(crate) fn check(&self, channels: usize) -> Result<()> {
        check("data.normalize.given", &self.mean, &self.deviation, channels)?;
        for (name, values) in [("mean", &self.mean), ("deviation", &self.deviation)] {
            if values.iter().any(|value| !(0.0..=1.0).contains(value)) {
                let key = format!("data.normalize.given.{name}");
                let expected = "numbers from 0 to 1, as pixel values are (those of 0 to 255, divided \
                                by 255)";
                return Err(Error::value(key, format_args!("{values:?}"), expected));
            }
        }
        Ok(())
    }
}

/// `(pixel / 255 - mean) / deviation`, per channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Mean per channel, between 0 and 1.
    pub mean: Vec<f32>,
    /// Population standard deviation (divided by N) per channel, on the same scale.
    pub deviation: Vec<f32>,
}

impl Normalization {
    /// Measures every channel over all images, from exact sums.
    ///
    /// # Errors
    /// If there are no images, or a channel is constant.
    pub fn measure(images: &ImageSet) -> Result<Self> {
        if images.is_empty() {
            return Err(Error::image_set("no images", "images to measure the normalisation on"));
        }
        let channels = images.shape().channels;
        let sums = images.map(|image| sums(image, channels))?;
        let measured = Self::of(&sums, images.shape());
        let flat = |&deviation: &f32| deviation == 0.0;
        if let Some(channel) = measured.deviation.iter().position(flat) {
            let value = images.image(0)?[channel];
            let found = format!("the constant value {value} in channel {channel}");
            return Err(Error::image_set(found, "a standard deviation above zero"));
        }
        Ok(measured)
    }

    /// Mean and standard deviation per channel of images of this shape, by their [`sums`]; 0 if there
    /// are none.
    pub(crate) fn of(images: &[Sums], shape: ImageShape) -> Self {
        let count = (images.len() * shape.height * shape.width) as u128;
        let mut sums = vec![(0_u64, 0_u64); shape.channels];
        for image in images {
            for ((sum, squares), of_image) in sums.iter_mut().zip(image) {
                *sum += of_image.0;
                *squares += of_image.1;
            }
        }
        let mut measured = Self { mean: Vec::new(), deviation: Vec::new() };
        for (sum, squares) in sums {
            let (sum, squares) = (u128::from(sum), u128::from(squares));
            // N² var(x) = N Σx² - (Σx)²: exact integers up to the last step.
            let scatter = count * squares - sum * sum;
            let scale = 255.0 * count.max(1) as f64;
            measured.mean.push((sum as f64 / scale) as f32);
            measured.deviation.push(((scatter as f64).sqrt() / scale) as f32);
        }
        measured
    }

    /// Checks that there is a valid pair for each of `channels`.
    pub(crate) fn check(&self, channels: usize) -> Result<()> {
        check("normalization", &self.mean, &self.deviation, channels)
    }

    /// Lookup tables from byte to normalised value, per channel.
    pub(crate) fn tables(&self) -> Vec<[f32; 256]> {
        let table = |(&mean, &deviation): (&f32, &f32)| {
            std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / deviation)
        };
        self.mean.iter().zip(&self.deviation).map(table).collect()
    }
}

/// Per channel, the sum of an image's values and that of their squares.
pub(crate) type Sums = Vec<(u64, u64)>;

/// The sums of an image, `[H, W, C]`.
pub(crate) fn sums(image: &[u8], channels: usize) -> Sums {
    let mut sums = vec![(0, 0); channels];
    for pixel in image.chunks_exact(channels) {
        for ((sum, squares), &value) in sums.iter_mut().zip(pixel) {
            *sum += u64::from(value);
            *squares += u64::from(value) * u64::from(value);
        }
    }
    sums
}

/// Checks the values; `key` names the pair in errors.
fn check(key: &str, mean: &[f32], deviation: &[f32], channels: usize) -> Result<()> {
    let wrong = |name: &str, values: &[f32], expected: String| {
        Err(Error::value(format!("{key}.{name}"), format_args!("{values:?}"), expected))
    };
    for (name, values) in [("mean", mean), ("deviation", deviation)] {
        if values.len() != channels {
            return wrong(name, values, format!("one number for each of {channels} channels"));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return wrong(name, values, "finite numbers".to_owned());
        }
    }
    if deviation.iter().any(|&deviation| deviation <= 0.0) {
        return wrong("deviation", deviation, "numbers above zero".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pixels: Vec<u8>, channels: usize) -> ImageSet {
        let labels = vec![0; pixels.len() / (2 * channels)];
        ImageSet::new(ImageShape::new(channels, 1, 2), pixels, labels, vec!["only".to_owned()])
            .unwrap()
    }

    #[test]
    fn measures_each_channel() {
        let images = set(vec![0, 255, 51, 0, 102, 255, 153, 255], 2);
        let measured = Normalization::measure(&images).unwrap();
        // Channel 0: 0, 0.2, 0.4, 0.6. Channel 1: 1, 0, 1, 1.
        let expected = [[0.3, 0.75], [0.05_f32.sqrt(), 0.1875_f32.sqrt()]];
        for (found, expected) in
            [&measured.mean, &measured.deviation].into_iter().flatten().zip(expected.as_flattened())
        {
            assert!((found - expected).abs() < 1e-7, "{found} {expected}");
        }
    }

    #[test]
    fn tables_normalise() {
        let normalization = Normalization { mean: vec![0.5, 0.25], deviation: vec![0.5, 0.125] };
        let tables = normalization.tables();
        assert_eq!((tables[0][0], tables[0][255]), (-1.0, 1.0));
        assert_eq!((tables[1][0], tables[1][255]), (-2.0, 6.0));
        assert_eq!(tables[1][51], (0.2 - 0.25) / 0.125);
    }

    #[test]
    fn a_constant_channel_or_an_empty_set_is_rejected() {
        let error = Normalization::measure(&set(vec![0, 7, 1, 7], 2)).unwrap_err();
        assert!(error.to_string().contains("the constant value 7 in channel 1"), "{error}");
        let error = Normalization::measure(&set(vec![], 2)).unwrap_err();
        assert!(error.to_string().contains("no images"), "{error}");
    }

    #[test]
    fn given_values_must_match_the_channels() {
        let images = set(vec![0, 7, 1, 7], 2);
        for (mean, deviation, facts) in [
            (vec![0.5], vec![0.5, 0.5], ["`data.normalize.given.mean` is [0.5]", "2 channels"]),
            (
                vec![0.5, 0.5],
                vec![0.5, 0.0],
                ["`data.normalize.given.deviation` is [0.5, 0.0]", "above zero"],
            ),
            (vec![0.5, f32::NAN], vec![0.5, 0.5], ["given.mean` is [0.5, NaN]", "finite"]),
            (vec![123.675, 0.5], vec![0.5, 0.5], ["given.mean` is [123.675, 0.5]", "from 0 to 1"]),
            (vec![0.0, 0.5], vec![1.0, 58.4], ["deviation` is [1.0, 58.4]", "divided by 255"]),
        ] {
            let config = NormalizeConfig::Given(GivenNormalization { mean, deviation });
            let message = config.resolve(&images).unwrap_err().to_string();
            for fact in facts {
                assert!(message.contains(fact), "{message}");
            }
        }
    }
}
