//! MobileNetV2 (Sandler et al. 2018, <https://arxiv.org/abs/1801.04381>).

mod state_dict;

use schemars::JsonSchema;
use sd_layers::{BatchNorm, ConvGeometry, Convolution, FeatureShape, Sequential, Window};
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use tch::nn;

use super::inverted_residual::InvertedResidual;
use super::{Backbone, BackboneConfig, BackboneFamily, Stem, checked};
use crate::Result;
use crate::exit::Head;
use crate::library::{Layer, Library};

/// MobileNetV2, a small network by design, for comparison. It has a stage for each resolution; the
/// last ends with a 1×1 convolution to 1280 channels. The head has no dropout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MobilenetV2Config {
    /// `large`, for images of about 224×224, is the paper's: a first convolution of stride 2, five
    /// halvings in all. `small`, for images of about 32×32, has stride 1 there and in the stage of 24
    /// channels, as is usual for CIFAR (<https://github.com/kuangliu/pytorch-cifar>): three halvings,
    /// the last map 4×4.
    pub stem: Stem,
    /// Multiplier of the channels, rounded to a multiple of 8 that is not more than a tenth smaller.
    /// Below 1 it does not reduce the 1280 channels of the last convolution.
    #[serde(default = "super::full_width")]
    pub width: f64,
}

/// A row of the paper's table 2: blocks of the same expansion and channels.
struct Row {
    expansion: i64,
    channels: i64,
    blocks: usize,
}

const fn row(expansion: i64, channels: i64, blocks: usize) -> Row {
    Row { expansion, channels, blocks }
}

/// The rows of the paper's table 2, by resolution.
const STAGES: [&[Row]; 5] = [
    &[row(1, 16, 1)],
    &[row(6, 24, 2)],
    &[row(6, 32, 3)],
    &[row(6, 64, 4), row(6, 96, 3)],
    &[row(6, 160, 3), row(6, 320, 1)],
];

impl BackboneFamily for MobilenetV2Config {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Backbone> {
        let (stride, halves) = match self.stem {
            Stem::Small => (1, [false, false, true, true, true]),
            Stem::Large => (2, [false, true, true, true, true]),
        };
        let mut inputs = self.channels(32)?;
        let window = Window::same(3, stride);
        let first = ConvGeometry { inputs: channels, outputs: inputs, window };
        let stem = Sequential::new()
            .then(Convolution::dense(&(vs / "stem" / "conv"), first))
            .then(BatchNorm::relu6(&(vs / "stem" / "norm"), inputs));

        let mut stages = Vec::new();
        for (index, rows) in STAGES.iter().enumerate() {
            let vs = vs / format!("stage{}", index + 1);
            let mut blocks = Sequential::new();
            let layers = rows.iter().flat_map(|row| std::iter::repeat_n(row, row.blocks));
            for (block, row) in layers.enumerate() {
                let step = if block == 0 && halves[index] { 2 } else { 1 };
                let outputs = self.channels(row.channels)?;
                let vs = &vs / block;
                blocks =
                    blocks.then(InvertedResidual::new(&vs, inputs, outputs, row.expansion, step));
                inputs = outputs;
            }
            if index + 1 == STAGES.len() {
                let outputs = multiple_of_8(1280.0 * self.width.max(1.0));
                let last = &vs / "last";
                blocks = blocks
                    .then(Convolution::pointwise(&(&last / "conv"), inputs, outputs))
                    .then(BatchNorm::relu6(&(&last / "norm"), outputs));
            }
            stages.push(blocks);
        }
        Ok(Backbone { stem, stages, head: Head::Linear })
    }

    fn describe(&self) -> String {
        match self.width {
            1.0 => "mobilenet_v2".to_owned(),
            width => format!("mobilenet_v2 × {width}"),
        }
    }

    /// The network itself: it is not compressed.
    fn dense_original(&self) -> BackboneConfig {
        BackboneConfig::MobilenetV2(self.clone())
    }

    fn merged(&self) -> BackboneConfig {
        BackboneConfig::MobilenetV2(self.clone())
    }

    fn missing_from(&self, _: Library) -> Option<&'static str> {
        None
    }

    fn timm_architecture(&self, _: FeatureShape) -> Option<String> {
        let built = [0.35, 0.5, 0.75, 1.0, 1.4].contains(&self.width);
        let percent = (100.0 * self.width).round();
        (built && self.stem == Stem::Large).then(|| format!("mobilenetv2_{percent:03}"))
    }

    fn layer_names(&self, library: Library) -> Result<Vec<Layer>> {
        Ok(state_dict::layers(library))
    }
}

impl Examples for MobilenetV2Config {
    fn examples() -> Vec<Self> {
        vec![Self { stem: Stem::Small, width: 1.0 }]
    }
}

impl MobilenetV2Config {
    fn channels(&self, base: i64) -> Result<i64> {
        Ok(multiple_of_8(base as f64 * checked(self.width)?))
    }
}

/// The nearest multiple of 8, or the next one if that is less than nine tenths of `channels`
/// (`_make_divisible` in the authors' code).
fn multiple_of_8(channels: f64) -> i64 {
    let nearest = ((channels / 8.0).round() as i64).max(1) * 8;
    if (nearest as f64) < 0.9 * channels { nearest + 8 } else { nearest }
}
