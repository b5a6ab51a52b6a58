//! Backbones: a stem and stages, as plain data.

mod inverted_residual;
mod mobilenet_v2;
mod residual;
mod resnet;
mod vgg;

pub use mobilenet_v2::MobilenetV2Config;
pub use resnet::{ResnetConfig, Stem};
pub use vgg::{VggConfig, VggHead};

use schemars::JsonSchema;
use sd_layers::{ConvConfig, FeatureShape, Sequential};
use serde::{Deserialize, Serialize};
use tch::nn;

use crate::exit::Head;
use crate::{Error, PerStage, Result};

/// A family of networks and its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackboneConfig {
    /// Residual networks.
    Resnet(ResnetConfig),
    /// VGG with batch norm.
    Vgg(VggConfig),
    /// MobileNetV2, a small network by design, to compare with.
    MobilenetV2(MobilenetV2Config),
}

/// A network without its classifiers.
#[derive(Debug)]
pub struct Backbone {
    /// What comes before the first stage.
    pub stem: Sequential,
    /// The stages, shallow first.
    pub stages: Vec<Stage>,
    /// The classifier that the family has after its last stage.
    pub head: Head,
}

/// A run of blocks between two changes of resolution.
#[derive(Debug)]
pub struct Stage {
    /// Channels of its output.
    pub channels: i64,
    /// Pixels of the input image between two positions of its output.
    pub stride: i64,
    /// The blocks.
    pub blocks: Sequential,
}

impl BackboneConfig {
    /// The backbone for images with `channels` channels.
    ///
    /// # Errors
    /// Names the key or stage that does not fit, and both numbers.
    pub fn build(&self, vs: &nn::Path, channels: i64) -> Result<Backbone> {
        match self {
            Self::Resnet(config) => config.build(vs, channels),
            Self::Vgg(config) => config.build(vs, channels),
            Self::MobilenetV2(config) => config.build(vs, channels),
        }
    }

    /// The family, depth and convolutions in a few words, such as `vgg11 grouped8`.
    pub fn describe(&self) -> String {
        let (family, depth, conv) = match self {
            Self::Resnet(config) => ("resnet", config.depth, &config.conv),
            Self::Vgg(config) => ("vgg", config.depth, &config.conv),
            Self::MobilenetV2(config) => return config.describe(),
        };
        let conv = match conv {
            PerStage::All(kind) => kind.name(),
            PerStage::Each(kinds) => {
                let mut names: Vec<String> = kinds.iter().map(ConvConfig::name).collect();
                names.dedup();
                names.join("/")
            }
        };
        format!("{family}{depth} {conv}")
    }

    /// The same network with dense convolutions, halving its maps in each stage: what a compressed
    /// one replaces. MobileNetV2 replaces none, and stays what it is.
    #[must_use]
    pub fn dense_original(&self) -> Self {
        let mut original = self.clone();
        let conv = match &mut original {
            Self::Resnet(config) => {
                config.output_stride = None;
                &mut config.conv
            }
            Self::Vgg(config) => {
                config.output_stride = None;
                &mut config.conv
            }
            Self::MobilenetV2(_) => return original,
        };
        *conv = PerStage::All(ConvConfig::Dense);
        original
    }
}

impl Backbone {
    /// The input's shape after each stage.
    ///
    /// # Errors
    /// Names the stage that the input is too small for.
    pub fn shapes(&self, input: FeatureShape) -> Result<Vec<FeatureShape>> {
        use crate::error::At;
        use sd_layers::Block;
        let mut shape = self.stem.output_shape(input).at("stem")?;
        let after = |(index, stage): (usize, &Stage)| {
            shape = stage.blocks.output_shape(shape).at(format!("stage {}", index + 1))?;
            Ok(shape)
        };
        self.stages.iter().enumerate().map(after).collect()
    }
}

/// The width multiplier where none is written.
fn full_width() -> f64 {
    1.0
}

/// The largest width multiplier; parameters grow with its square.
pub(crate) const MAX_WIDTH: f64 = 16.0;

/// The output stride that a configuration asks for, of those that its stem (`least`) and stages
/// (`most`, if all halve) allow.
fn checked_output_stride(
    family: &'static str,
    found: Option<i64>,
    least: i64,
    most: i64,
) -> Result<i64> {
    match found {
        None => Ok(most),
        Some(found) if found.count_ones() == 1 && (least..=most).contains(&found) => Ok(found),
        Some(found) => Err(Error::OutputStride { family, found, least, most }),
    }
}

/// `base · width` to the nearest multiple of 8, at least 8, so that it divides by usual groups.
fn scaled(base: i64, width: f64) -> Result<i64> {
    Ok(((base as f64 * checked(width)? / 8.0).round() as i64).max(1) * 8)
}

/// The width multiplier, if it is in its range.
fn checked(width: f64) -> Result<f64> {
    if width > 0.0 && width <= MAX_WIDTH { Ok(width) } else { Err(Error::Width(width)) }
}
