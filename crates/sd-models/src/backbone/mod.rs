//! Backbones: a stem and stages, as plain data.

mod inverted_residual;
mod mobilenet_v2;
mod residual;
mod resnet;
mod vgg;

pub use resnet::Stem;
pub use vgg::VggHead;

use schemars::JsonSchema;
use sd_layers::{AttentionConfig, Block, ConvConfig, FeatureShape, Sequential};
use sd_variants::variants;
use serde::{Deserialize, Serialize};
use tch::nn;

use crate::error::At;
use crate::exit::Head;
use crate::library::{Layer, Library};
use crate::{Error, PerStage, Result};

/// A family of networks.
pub trait BackboneFamily {
    /// Builds the backbone for images with `channels` channels.
    ///
    /// # Errors
    /// Names the key or stage that does not fit, and both numbers.
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Backbone>;

    /// A short description, such as `vgg11 grouped8`: family, depth and convolutions.
    fn describe(&self) -> String;

    /// The network before compression: dense convolutions, at least the full width, and a halved map
    /// in each stage.
    fn dense_original(&self) -> BackboneConfig;

    /// The network with the branches of its convolutions merged.
    fn merged(&self) -> BackboneConfig;

    /// Whether it is such an original, once its branches are merged and whatever its attention.
    fn is_dense(&self) -> bool {
        false
    }

    /// Whether a block has attention.
    fn has_attention(&self) -> bool {
        false
    }

    /// What `library` has instead of this network; `None` if it has this one.
    fn missing_from(&self, _library: Library) -> Option<&'static str> {
        Some("ResNet, VGG or MobileNetV2")
    }

    /// The name under which timm builds exactly this network for images of this shape; `None` where
    /// its network would first have to be changed, or does not exist.
    fn timm_architecture(&self, _input: FeatureShape) -> Option<String> {
        None
    }

    /// The layers with their names here and in `library`.
    ///
    /// # Errors
    /// [`Error::NoCounterpart`] if the library does not have the family.
    fn layer_names(&self, library: Library) -> Result<Vec<Layer>> {
        let expected = self.missing_from(library).unwrap_or_default();
        let network = self.describe();
        Err(Error::NoCounterpart { library: library.into(), network, expected })
    }
}

variants! {
    /// A family of networks and its options.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum BackboneConfig: BackboneFamily {
        Resnet(resnet::ResnetConfig),
        Vgg(vgg::VggConfig),
        MobilenetV2(mobilenet_v2::MobilenetV2Config),
    }
}

/// A network without its classifiers.
#[derive(Debug)]
pub struct Backbone {
    /// The layers before the first stage.
    pub stem: Sequential,
    /// The blocks between two changes of resolution, shallow first.
    pub stages: Vec<Sequential>,
    /// The family's classifier after the last stage.
    pub head: Head,
}

impl Backbone {
    /// Returns the shape of the map after each stage.
    ///
    /// # Errors
    /// Names the stage that the input is too small for.
    pub fn shapes(&self, input: FeatureShape) -> Result<Vec<FeatureShape>> {
        let mut shape = self.stem.output_shape(input).at("stem")?;
        let after = |(index, stage): (usize, &Sequential)| {
            shape = stage.output_shape(shape).at(format!("stage {}", index + 1))?;
            Ok(shape)
        };
        self.stages.iter().enumerate().map(after).collect()
    }
}

/// Family, depth and the convolutions of the stages.
fn description(family: &str, depth: u32, conv: &PerStage<ConvConfig>) -> String {
    let mut names: Vec<String> = conv.choices().iter().map(|conv| conv.get().name()).collect();
    names.dedup();
    format!("{family}{depth} {}", names.join("/"))
}

/// What a library has instead of a network with compressed convolutions or attention.
fn only_plain(
    conv: &PerStage<ConvConfig>,
    attention: &PerStage<AttentionConfig>,
) -> Option<&'static str> {
    let plain = all_dense(conv) && !any_attention(attention);
    (!plain).then_some("dense convolutions and no attention")
}

/// The kinds of convolution after their branches are merged.
fn merged(conv: &PerStage<ConvConfig>) -> PerStage<ConvConfig> {
    conv.map(|conv| conv.get().merged().unwrap_or_else(|| conv.clone()))
}

fn all_dense(conv: &PerStage<ConvConfig>) -> bool {
    conv.choices().iter().all(|conv| *conv == ConvConfig::Dense)
}

fn any_attention(attention: &PerStage<AttentionConfig>) -> bool {
    attention.choices().iter().any(|attention| *attention != AttentionConfig::None)
}

/// The default width multiplier.
fn full_width() -> f64 {
    1.0
}

/// The largest width multiplier; parameters grow with its square.
const MAX_WIDTH: f64 = 16.0;

/// The configured output stride, if it is a power of two from the stem's stride (`least`) to that of
/// a network whose stages all halve (`most`, the default).
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

/// `base · width` rounded to a multiple of 8, at least 8, so that the usual numbers of groups divide
/// it.
fn scaled(base: i64, width: f64) -> Result<i64> {
    Ok(((base as f64 * checked(width)? / 8.0).round() as i64).max(1) * 8)
}

/// The width multiplier, if it is in its range.
fn checked(width: f64) -> Result<f64> {
    match width > 0.0 && width <= MAX_WIDTH {
        true => Ok(width),
        false => Err(Error::Width { found: width, most: MAX_WIDTH }),
    }
}
