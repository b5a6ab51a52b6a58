//! A residual network in VGG's stages: a first layer widens, further layers are residual.

use schemars::JsonSchema;
use sd_layers::{
    AttentionConfig, BatchNorm, ConvConfig, ConvGeometry, Convolution, Pool, Sequential, Window,
};
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use tch::nn;

use super::residual::{BlockStyle, Residual};
use super::vgg::{VggConfig, VggHead};
use super::{
    Backbone, BackboneConfig, BackboneFamily, Stage, any_attention, checked_output_stride, scaled,
};
use crate::error::At;
use crate::exit::Head;
use crate::{PerStage, Result};

/// A network with the channels, max pools and head of VGG11, and other layers: the first layer of
/// each of the five stages changes the channels, and further ones add to their input. It is not a
/// VGG; compressed, it has more layers than VGG11 with the same number of parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResidualVggConfig {
    /// Layers of each stage, at least 1. The first layer of the first stage is the stem.
    pub layers: [usize; 5],
    /// Multiplier of every stage's channels, rounded to a multiple of 8.
    #[serde(default = "super::full_width")]
    pub width: f64,
    /// Largest ratio of the image's side to the last map's, as for `vgg`; by default 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_stride: Option<i64>,
    /// Kind of the first convolution of each stage, except the stem.
    pub widening: PerStage<ConvConfig>,
    /// Kind of the residual layers' convolutions.
    pub residual: PerStage<ConvConfig>,
    /// Attention at the end of each stage, before its max pool.
    pub attention: PerStage<AttentionConfig>,
}

impl BackboneFamily for ResidualVggConfig {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Backbone> {
        let widening = self.widening.resolve("residual_vgg.widening", self.layers.len())?;
        let residual = self.residual.resolve("residual_vgg.residual", self.layers.len())?;
        let attentions = self.attention.resolve("residual_vgg.attention", self.layers.len())?;
        let most = 1 << self.layers.len();
        let output_stride = checked_output_stride("residual_vgg", self.output_stride, 1, most)?;

        let mut inputs = scaled(64, self.width)?;
        let window = Window::same(3, 1);
        let first = ConvGeometry { inputs: channels, outputs: inputs, window };
        let stem_path = vs / "stem";
        let stem = Sequential::new()
            .then(Convolution::dense(&(&stem_path / "conv"), first))
            .then(BatchNorm::relu(&(&stem_path / "norm"), inputs));

        let mut stride = 1;
        let mut stages = Vec::new();
        for (index, &layers) in self.layers.iter().enumerate() {
            let place = format!("stage{}", index + 1);
            let vs = vs / &place;
            let outputs = scaled(64 << index.min(3), self.width)?;
            let mut blocks = Sequential::new();
            if index > 0 {
                let (vs, geometry) = (&vs / 0, ConvGeometry { inputs, outputs, window });
                blocks = blocks
                    .then(widening[index].get().build(&(&vs / "conv"), geometry).at(&place)?)
                    .then(BatchNorm::relu(&(&vs / "norm"), outputs));
            }
            for layer in 1..layers {
                let style =
                    BlockStyle { conv: &residual[index], attention: &AttentionConfig::None };
                blocks = blocks.then(Residual::single(&(&vs / layer), style, outputs).at(&place)?);
            }
            blocks = blocks
                .then(attentions[index].get().build(&(&vs / "attention"), outputs).at(&place)?);
            if stride < output_stride {
                blocks = blocks.then(Pool::Max(Window::tiles(2)));
                stride *= 2;
            }
            inputs = outputs;
            stages.push(Stage { channels: outputs, stride, blocks });
        }
        Ok(Backbone { stem, stages, head: Head::Linear })
    }

    fn describe(&self) -> String {
        let layers: Vec<String> = self.layers.iter().map(usize::to_string).collect();
        let mut names: Vec<String> =
            self.residual.choices().iter().map(|conv| conv.get().name()).collect();
        names.dedup();
        format!("residual vgg {} {}", layers.join("-"), names.join("/"))
    }

    fn dense_original(&self) -> BackboneConfig {
        BackboneConfig::Vgg(VggConfig {
            depth: 11,
            head: VggHead::Linear,
            width: self.width,
            output_stride: None,
            conv: PerStage::All(ConvConfig::Dense),
            attention: PerStage::All(AttentionConfig::None),
        })
    }

    fn has_attention(&self) -> bool {
        any_attention(&self.attention)
    }
}

impl Examples for ResidualVggConfig {
    fn examples() -> Vec<Self> {
        vec![Self {
            layers: [1, 1, 2, 2, 2],
            width: 1.0,
            output_stride: None,
            widening: PerStage::All(ConvConfig::Dense),
            residual: PerStage::All(ConvConfig::DepthwiseSeparable),
            attention: PerStage::All(AttentionConfig::None),
        }]
    }
}
