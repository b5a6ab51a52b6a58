//! ResNet (He et al. 2016, <https://arxiv.org/abs/1512.03385>).

mod state_dict;

use schemars::JsonSchema;
use sd_layers::{
    AttentionConfig, BatchNorm, ConvConfig, ConvGeometry, Convolution, FeatureShape, Pool,
    Sequential, Window,
};
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use tch::nn;

use super::residual::{BlockStyle, Residual};
use super::{
    Backbone, BackboneConfig, BackboneFamily, all_dense, any_attention, checked_output_stride,
    description, merged, only_plain, scaled,
};
use crate::error::At;
use crate::exit::Head;
use crate::library::{Layer, Library};
use crate::{Error, PerStage, Result};

/// Residual networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResnetConfig {
    /// Layers with weights: 18, 34 (basic blocks), 50, 101 or 152 (bottlenecks).
    pub depth: u32,
    /// Layers before the first stage.
    pub stem: Stem,
    /// Multiplier of every stage's channels, rounded to a multiple of 8.
    #[serde(default = "super::full_width")]
    pub width: f64,
    /// Largest ratio of the image's side to the last map's, a power of two; by default 8 with the small
    /// stem and 32 with the large one. A stage that would exceed it has stride 1, without dilation: the
    /// same parameters, four times the multiply-accumulates, sixteen times for the second such stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_stride: Option<i64>,
    /// Kind of the 3×3 convolutions except the stem's. 1×1 convolutions stay dense.
    pub conv: PerStage<ConvConfig>,
    /// Attention inside the blocks.
    pub attention: PerStage<AttentionConfig>,
}

/// Layers before the first stage of a ResNet or MobileNetV2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stem {
    /// For images of about 32×32: a 3×3 convolution at full resolution.
    Small,
    /// For images of about 224×224: a 7×7 convolution with stride 2 and a 3×3 max pool with
    /// stride 2.
    Large,
}

impl BackboneFamily for ResnetConfig {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Backbone> {
        let (bottleneck, blocks) = (self.has_bottlenecks(), self.blocks()?);
        let convs = self.conv.resolve("resnet.conv", blocks.len())?;
        let attentions = self.attention.resolve("resnet.attention", blocks.len())?;

        let mut inputs = scaled(64, self.width)?;
        let (stem, mut stride) = self.stem(&(vs / "stem"), channels, inputs);
        let most = stride << (blocks.len() - 1);
        let output_stride = checked_output_stride("resnet", self.output_stride, stride, most)?;
        let mut stages = Vec::new();
        for (index, &count) in blocks.iter().enumerate() {
            let place = format!("stage{}", index + 1);
            let width = scaled(64 << index, self.width)?;
            let style = BlockStyle { conv: &convs[index], attention: &attentions[index] };
            let mut stage = Sequential::new();
            for block in 0..count {
                let vs = vs / &place / block;
                let halves = block == 0 && index > 0 && stride < output_stride;
                let step = if halves { 2 } else { 1 };
                let residual = if bottleneck {
                    Residual::bottleneck(&vs, style, inputs, width, step)
                } else {
                    Residual::basic(&vs, style, inputs, width, step)
                };
                stage = stage.then(residual.at(&place)?);
                inputs = if bottleneck { 4 * width } else { width };
                stride *= step;
            }
            stages.push(stage);
        }
        Ok(Backbone { stem, stages, head: Head::Linear })
    }

    fn describe(&self) -> String {
        description("resnet", self.depth, &self.conv)
    }

    fn dense_original(&self) -> BackboneConfig {
        let (conv, width) = (PerStage::All(ConvConfig::Dense), self.width.max(1.0));
        BackboneConfig::Resnet(Self { output_stride: None, conv, width, ..self.clone() })
    }

    fn merged(&self) -> BackboneConfig {
        BackboneConfig::Resnet(Self { conv: merged(&self.conv), ..self.clone() })
    }

    fn is_dense(&self) -> bool {
        all_dense(&merged(&self.conv)) && self.output_stride.is_none() && self.width >= 1.0
    }

    fn has_attention(&self) -> bool {
        any_attention(&self.attention)
    }

    fn missing_from(&self, _: Library) -> Option<&'static str> {
        only_plain(&self.conv, &self.attention)
    }

    fn timm_architecture(&self, _: FeatureShape) -> Option<String> {
        let strides = [None, Some(32)].contains(&self.output_stride);
        let same = self.missing_from(Library::Timm).is_none() && strides && self.width == 1.0;
        (same && self.stem == Stem::Large).then(|| format!("resnet{}", self.depth))
    }

    fn layer_names(&self, _: Library) -> Result<Vec<Layer>> {
        state_dict::layers(self)
    }
}

impl Examples for ResnetConfig {
    fn examples() -> Vec<Self> {
        vec![Self {
            depth: 18,
            stem: Stem::Small,
            width: 1.0,
            output_stride: None,
            conv: PerStage::All(ConvConfig::Dense),
            attention: PerStage::All(AttentionConfig::None),
        }]
    }
}

impl ResnetConfig {
    /// Blocks of each stage (table 1 of the paper).
    fn blocks(&self) -> Result<[usize; 4]> {
        match self.depth {
            18 => Ok([2, 2, 2, 2]),
            34 | 50 => Ok([3, 4, 6, 3]),
            101 => Ok([3, 4, 23, 3]),
            152 => Ok([3, 8, 36, 3]),
            found => {
                let expected = &[18, 34, 50, 101, 152];
                Err(Error::Depth { family: "resnet", found, expected })
            }
        }
    }

    /// Whether the blocks are bottlenecks, with three convolutions instead of two.
    fn has_bottlenecks(&self) -> bool {
        self.depth >= 50
    }

    /// The stem, and its stride.
    fn stem(&self, vs: &nn::Path, inputs: i64, outputs: i64) -> (Sequential, i64) {
        let window = match self.stem {
            Stem::Small => Window::same(3, 1),
            Stem::Large => Window::same(7, 2),
        };
        let geometry = ConvGeometry { inputs, outputs, window };
        let stem = Sequential::new()
            .then(Convolution::dense(&(vs / "conv"), geometry))
            .then(BatchNorm::relu(&(vs / "norm"), outputs));
        match self.stem {
            Stem::Small => (stem, 1),
            Stem::Large => (stem.then(Pool::Max(Window::same(3, 2))), 4),
        }
    }
}
