//! Metadata of exported files.

use serde::{Deserialize, Serialize};

use crate::quantize::QuantFormat;
use crate::{Error, Result};

/// Version of the metadata; others are refused.
pub const METADATA_VERSION: u32 = 1;

/// Everything that inference needs beyond the graph: preprocessing, classes, exits and provenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// [`METADATA_VERSION`].
    pub metadata_version: u32,
    /// Version of the exporter.
    pub version: String,
    /// The experiment's name.
    pub name: String,
    /// The network's input images.
    pub input: Input,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// The exits whose logits the file outputs, shallow first. In a segment of a staged network, all
    /// exits of the network.
    pub exits: Vec<Exit>,
    /// Whether the file's last output, `ensemble`, is the mean of the exits' logits.
    pub ensemble: bool,
    /// Temperature of the ensemble, as of an [`Exit`].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub ensemble_temperature: f32,
    /// Share, 0 to 1, of the earlier exits' logits that is carried to the next exit:
    /// `sᵢ = zᵢ + carry · sᵢ₋₁`, where z are the file's outputs. Chosen on the validation split together
    /// with the thresholds, which apply to the probabilities of s.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub carry: f32,
    /// Multiply-accumulates of the network up to its deepest exit, without shallow ones.
    pub deployed_macs: u64,
    /// Index of the segment of a staged network; unset for a whole network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<usize>,
    /// Format of the 8-bit convolutions; unset in `f32` networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int8: Option<QuantFormat>,
    /// The resolved configuration of the run, TOML.
    pub configuration: String,
    /// SHA-256 of the configuration, hexadecimal.
    pub configuration_sha256: String,
}

/// Input of a network, and the preprocessing of images.
///
/// An image is turned upright by its EXIF orientation, converted to the channels (without
/// transparency), resized by [`Resize`] to the size without the border, padded with black, and
/// normalised per channel: `(byte / 255 − mean) / deviation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// 1 for grey, 3 for RGB.
    pub channels: usize,
    /// Rows, including the border.
    pub height: usize,
    /// Columns, including the border.
    pub width: usize,
    /// Width of the black border in pixels.
    pub border: usize,
    /// How images of other sizes are resized.
    pub resize: Resize,
    /// Memory layout.
    pub layout: Layout,
    /// Mean of each channel, of values between 0 and 1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, above 0.
    pub deviation: Vec<f32>,
}

/// How images are resized, with an antialiased triangle filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Resize {
    /// Stretches the whole image, ignoring proportions. The training images have the network's size;
    /// images of that size stay unchanged.
    Triangle,
    /// Resizes the shorter side to `pixels`, keeping proportions, then crops the square in the middle.
    /// The training images are files of any size. Only for three channels.
    ShorterSide {
        /// From the side of the cropped square to 4096.
        pixels: usize,
    },
}

/// Memory layout of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `[N, C, H, W]`.
    Nchw,
}

/// An exit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exit {
    /// Its name.
    pub name: String,
    /// Trainable parameters of the network up to this exit.
    pub params: u64,
    /// Multiply-accumulates of an image that stops here: the stages up to this exit, and the earlier
    /// exits if they run too.
    pub macs: u64,
    /// Temperature T, above 0: the probabilities are `softmax(s / T)` of the logits s, carried ones
    /// included. Fitted on the validation split; 1 without one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub temperature: f32,
    /// Early-exit threshold: an image stops here if the largest probability is at least this. Chosen on
    /// the validation split; unset if there is no such split or no value keeps the requested accuracy,
    /// and for the deepest exit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
}

fn one() -> f32 {
    1.0
}

fn is_one(temperature: &f32) -> bool {
    *temperature == 1.0
}

fn is_zero(carry: &f32) -> bool {
    *carry == 0.0
}

impl Metadata {
    /// The key in the file.
    pub const KEY: &'static str = "selfdistill";

    /// Parses what [`encode`](crate::encode) wrote.
    ///
    /// # Errors
    /// [`Error::Metadata`] for malformed text, [`Error::Value`] for contradictory values.
    pub fn parse(text: &str) -> Result<Self> {
        let metadata: Self = serde_json::from_str(text)
            .map_err(|cause| Error::Metadata { key: Self::KEY, cause })?;
        metadata.check()?;
        Ok(metadata)
    }

    fn check(&self) -> Result<()> {
        let mismatch = |key, found: String, expected: &str| {
            Err(Error::Value { key, found, expected: expected.to_owned() })
        };
        if self.metadata_version != METADATA_VERSION {
            let found = self.metadata_version.to_string();
            return mismatch("metadata_version", found, &METADATA_VERSION.to_string());
        }
        let Input { channels, height, width, border, resize, ref mean, ref deviation, .. } =
            self.input;
        if !matches!(channels, 1 | 3) {
            return mismatch("input.channels", channels.to_string(), "1 or 3");
        }
        for (key, side) in [("input.height", height), ("input.width", width)] {
            if side > MAX_SIDE || side <= border.saturating_mul(2) {
                let expected = format!("more than the border and at most {MAX_SIDE}");
                return mismatch(key, side.to_string(), &expected);
            }
        }
        if let Resize::ShorterSide { pixels } = resize {
            let side = height - 2 * border;
            if channels != 3 || height != width || !(side..=MAX_SIDE).contains(&pixels) {
                let found = format!("{pixels} for {channels}×{height}×{width}, border {border}");
                let expected = format!("the square's side to {MAX_SIDE}, for a square in colour");
                return mismatch("input.resize.shorter_side.pixels", found, &expected);
            }
        }
        for (key, values) in [("input.mean", mean), ("input.deviation", deviation)] {
            if values.len() != channels || values.iter().any(|value| !value.is_finite()) {
                return mismatch(key, format!("{values:?}"), "a finite number for each channel");
            }
        }
        if deviation.iter().any(|&deviation| deviation <= 0.0) {
            return mismatch("input.deviation", format!("{deviation:?}"), "numbers above zero");
        }
        if self.classes.is_empty() {
            return mismatch("classes", "an empty list".to_owned(), "at least one name");
        }
        if self.exits.is_empty() {
            return mismatch("exits", "an empty list".to_owned(), "at least one exit");
        }
        if !(0.0..=1.0).contains(&self.carry) {
            return mismatch("carry", self.carry.to_string(), "a number from 0 to 1");
        }
        let temperatures = self.exits.iter().map(|exit| exit.temperature);
        for temperature in temperatures.chain([self.ensemble_temperature]) {
            if !(temperature.is_finite() && temperature > 0.0) {
                return mismatch("temperature", temperature.to_string(), "a number above 0");
            }
        }
        match self.segment {
            Some(segment) if segment >= self.exits.len() => {
                mismatch("segment", segment.to_string(), "a number below that of the exits")
            }
            _ => Ok(()),
        }
    }
}

/// Largest accepted side of an input, against malformed files.
const MAX_SIDE: usize = 4096;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn metadata() -> Metadata {
        Metadata {
            metadata_version: METADATA_VERSION,
            version: "0.1.0".to_owned(),
            name: "tiny".to_owned(),
            input: Input {
                channels: 1,
                height: 32,
                width: 32,
                border: 2,
                resize: Resize::Triangle,
                layout: Layout::Nchw,
                mean: vec![0.281_234_56],
                deviation: vec![0.334_567_8],
            },
            classes: vec!["cat".to_owned(), "dog".to_owned()],
            exits: vec![Exit {
                name: "exit1".to_owned(),
                params: 1,
                macs: 2,
                temperature: 1.5,
                threshold: Some(0.9),
            }],
            ensemble: false,
            ensemble_temperature: 1.0,
            carry: 0.25,
            deployed_macs: 2,
            segment: None,
            int8: None,
            configuration: "name = \"tiny\"\n".to_owned(),
            configuration_sha256: "00".to_owned(),
        }
    }

    #[test]
    fn metadata_round_trip() {
        let text = serde_json::to_string(&metadata()).unwrap();
        assert_eq!(Metadata::parse(&text).unwrap(), metadata());
    }

    #[test]
    fn without_a_temperature_it_is_1() {
        let mut older = serde_json::to_value(metadata()).unwrap();
        assert!(older.get("ensemble_temperature").is_none());
        older["exits"][0].as_object_mut().unwrap().remove("temperature").unwrap();
        let older = Metadata::parse(&older.to_string()).unwrap();
        assert_eq!((older.exits[0].temperature, older.ensemble_temperature), (1.0, 1.0));
    }

    /// A network on the middle 28×28 pixels of an image.
    fn square(pixels: usize) -> Metadata {
        let mut metadata = metadata();
        metadata.input.channels = 3;
        metadata.input.resize = Resize::ShorterSide { pixels };
        metadata.input.mean = vec![0.5; 3];
        metadata.input.deviation = vec![0.25; 3];
        metadata
    }

    #[test]
    fn the_shorter_side_is_from_the_squares_side_to_4096() {
        for pixels in [28, 4096] {
            let text = serde_json::to_string(&square(pixels)).unwrap();
            let written = format!("\"resize\":{{\"shorter_side\":{{\"pixels\":{pixels}}}}}");
            assert!(text.contains(&written), "{text}");
            assert_eq!(Metadata::parse(&text).unwrap(), square(pixels));
            let more = text.replace("\"pixels\"", "\"margin\":1,\"pixels\"");
            assert!(Metadata::parse(&more).is_err());
        }
    }

    #[test]
    fn contradictory_values_are_named() {
        let message = |change: fn(&mut Metadata)| {
            let mut changed = metadata();
            change(&mut changed);
            let text = serde_json::to_string(&changed).unwrap();
            Metadata::parse(&text).unwrap_err().to_string()
        };
        let border = message(|metadata| metadata.input.border = 16);
        assert!(border.contains("input.height is 32, expected more than the border"), "{border}");
        let mean = message(|metadata| metadata.input.mean = vec![0.5; 3]);
        assert!(mean.contains("input.mean is [0.5, 0.5, 0.5]"), "{mean}");
        let deviation = message(|metadata| metadata.input.deviation = vec![0.0]);
        assert!(deviation.contains("above zero"), "{deviation}");
        for (pixels, channels, width) in [(27, 3, 32), (4097, 3, 32), (28, 1, 32), (28, 3, 33)] {
            let mut changed = square(pixels);
            changed.input.width = width;
            if channels == 1 {
                changed.input = Input { width, resize: changed.input.resize, ..metadata().input };
            }
            let text = serde_json::to_string(&changed).unwrap();
            let error = Metadata::parse(&text).unwrap_err().to_string();
            let expected =
                format!("shorter_side.pixels is {pixels} for {channels}×32×{width}, border 2");
            assert!(error.contains(&expected), "{error}");
        }
        let temperature = message(|metadata| metadata.exits[0].temperature = 0.0);
        assert!(temperature.contains("temperature is 0, expected a number above 0"));
        let carry = message(|metadata| metadata.carry = 1.5);
        assert!(carry.contains("carry is 1.5, expected a number from 0 to 1"), "{carry}");
        let segment = message(|metadata| metadata.segment = Some(1));
        assert!(segment.contains("segment is 1"), "{segment}");
        let version = message(|metadata| metadata.metadata_version = 2);
        assert!(version.contains("metadata_version is 2, expected 1"), "{version}");
    }
}
