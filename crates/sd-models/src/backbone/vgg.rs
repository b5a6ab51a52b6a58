//! VGG with batch norm (Simonyan and Zisserman 2015, <https://arxiv.org/abs/1409.1556>).

mod state_dict;

use schemars::JsonSchema;
use sd_layers::{
    AttentionConfig, BatchNorm, ConvConfig, ConvGeometry, Convolution, FeatureShape, Pool,
    Sequential, Window,
};
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use tch::nn;

use super::{
    Backbone, BackboneConfig, BackboneFamily, all_dense, any_attention, checked_output_stride,
    description, merged, only_plain, scaled,
};
use crate::error::At;
use crate::exit::Head;
use crate::library::{Layer, Library};
use crate::{Error, PerStage, Result};

/// VGG with batch norm. The first convolution is the stem; each of the five stages ends with a 2×2
/// max pool, up to the output stride.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VggConfig {
    /// Layers with weights in the original: 11, 13, 16 or 19.
    pub depth: u32,
    /// Classifier after the last stage. The original's has most of VGG's weights.
    pub head: VggHead,
    /// Multiplier of every stage's channels and of the classic head's, rounded to a multiple of 8.
    #[serde(default = "super::full_width")]
    pub width: f64,
    /// Largest ratio of the image's side to the last map's, a power of two; by default 32. A stage that
    /// would exceed it has no max pool: the same parameters, four times the multiply-accumulates in the
    /// next stage, sixteen times in the one after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_stride: Option<i64>,
    /// Kind of the 3×3 convolutions except the first.
    pub conv: PerStage<ConvConfig>,
    /// Attention at the end of each stage, before its max pool.
    pub attention: PerStage<AttentionConfig>,
}

/// The classifier after a VGG's last stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VggHead {
    /// Global average pool and one linear layer.
    Linear,
    /// Two 4096-wide linear layers with ReLU and dropout ½ before the last one; the network's width
    /// multiplies theirs too.
    Classic,
    /// The classic head on the map averaged to 7×7 and flattened, as in the original and in
    /// torchvision, for images of 224×224. Its first layer has 103 M weights.
    Classic7x7,
}

impl BackboneFamily for VggConfig {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Backbone> {
        let counts = self.convolutions()?;
        let convs = self.conv.resolve("vgg.conv", counts.len())?;
        let attentions = self.attention.resolve("vgg.attention", counts.len())?;
        let most = 1 << counts.len();
        let output_stride = checked_output_stride("vgg", self.output_stride, 1, most)?;

        let mut inputs = scaled(64, self.width)?;
        let window = Window::same(3, 1);
        let first = ConvGeometry { inputs: channels, outputs: inputs, window };
        let stem_path = vs / "stem";
        let stem = Sequential::new().then(Convolution::dense(&(&stem_path / "conv"), first));

        let mut stride = 1;
        let mut stages = Vec::new();
        for (index, &count) in counts.iter().enumerate() {
            let place = format!("stage{}", index + 1);
            let outputs = scaled(64 << index.min(3), self.width)?;
            let pools = stride < output_stride;
            let fused = pools && attentions[index] == AttentionConfig::None;
            let mut blocks = Sequential::new();
            for layer in 0..count {
                let mut vs = vs / &place / layer;
                if index == 0 && layer == 0 {
                    // The stem is this layer's convolution.
                    vs = stem_path.clone();
                } else {
                    let geometry = ConvGeometry { inputs, outputs, window };
                    blocks = blocks
                        .then(convs[index].get().build(&(&vs / "conv"), geometry).at(&place)?);
                    inputs = outputs;
                }
                blocks = if layer + 1 == count && fused {
                    blocks.then(BatchNorm::relu_max_pool(&(&vs / "norm"), outputs))
                } else {
                    blocks.then(BatchNorm::relu(&(&vs / "norm"), outputs))
                };
            }
            if !fused {
                let attention =
                    attentions[index].get().build(&(vs / &place / "attention"), outputs);
                blocks = blocks.then(attention.at(&place)?);
                if pools {
                    blocks = blocks.then(Pool::Max(Window::tiles(2)));
                }
            }
            if pools {
                stride *= 2;
            }
            stages.push(blocks);
        }
        let width = scaled(4096, self.width)?;
        let head = match self.head {
            VggHead::Linear => Head::Linear,
            VggHead::Classic => Head::Classic { width, side: 1 },
            VggHead::Classic7x7 => Head::Classic { width, side: 7 },
        };
        Ok(Backbone { stem, stages, head })
    }

    fn describe(&self) -> String {
        description("vgg", self.depth, &self.conv)
    }

    fn dense_original(&self) -> BackboneConfig {
        let (conv, width) = (PerStage::All(ConvConfig::Dense), self.width.max(1.0));
        BackboneConfig::Vgg(Self { output_stride: None, conv, width, ..self.clone() })
    }

    fn merged(&self) -> BackboneConfig {
        BackboneConfig::Vgg(Self { conv: merged(&self.conv), ..self.clone() })
    }

    fn is_dense(&self) -> bool {
        all_dense(&merged(&self.conv)) && self.output_stride.is_none() && self.width >= 1.0
    }

    fn has_attention(&self) -> bool {
        any_attention(&self.attention)
    }

    fn missing_from(&self, library: Library) -> Option<&'static str> {
        let lacks_head = library == Library::Timm && self.head != VggHead::Classic7x7;
        only_plain(&self.conv, &self.attention).or(lacks_head.then_some("the head `classic7x7`"))
    }

    /// timm averages maps smaller than the head's 7×7 to it, and slides the head over larger ones.
    fn timm_architecture(&self, input: FeatureShape) -> Option<String> {
        let strides = [None, Some(32)].contains(&self.output_stride);
        let same = self.missing_from(Library::Timm).is_none() && strides && self.width == 1.0;
        let within = input.height.max(input.width) / 32 <= 7;
        (same && within).then(|| format!("vgg{}_bn", self.depth))
    }

    fn layer_names(&self, library: Library) -> Result<Vec<Layer>> {
        state_dict::layers(library, self)
    }
}

impl Examples for VggConfig {
    fn examples() -> Vec<Self> {
        vec![Self {
            depth: 11,
            head: VggHead::Linear,
            width: 1.0,
            output_stride: None,
            conv: PerStage::All(ConvConfig::Dense),
            attention: PerStage::All(AttentionConfig::None),
        }]
    }
}

impl VggConfig {
    /// Convolutions of each stage (configurations A, B, D and E of the paper's table 1).
    fn convolutions(&self) -> Result<[usize; 5]> {
        match self.depth {
            11 => Ok([1, 1, 2, 2, 2]),
            13 => Ok([2, 2, 2, 2, 2]),
            16 => Ok([2, 2, 3, 3, 3]),
            19 => Ok([2, 2, 4, 4, 4]),
            found => Err(Error::Depth { family: "vgg", found, expected: &[11, 13, 16, 19] }),
        }
    }
}
