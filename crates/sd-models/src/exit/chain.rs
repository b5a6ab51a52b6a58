//! The deeper light shallow classifier: an attention with few parameters, and a separable convolution
//! for each halving of the map that the exit skips.

use schemars::JsonSchema;
use sd_layers::{
    AttentionConfig, BatchNorm, ConvConfig, ConvGeometry, EcaConfig, FeatureShape, Result,
    Sequential, Window,
};
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use tch::nn;

use super::{ExitGeometry, ExitKind};

/// Attention, then at least one depthwise-separable 3×3 convolution with stride 2, batch norm and
/// ReLU, until the map is no larger than the last stage's.
///
/// The first keeps the C channels, each later one doubles them, and the last has D. So the
/// channels grow a step later than the network's own, for less than half of the
/// multiply-accumulates of a chain that grows with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// Attention before the chain.
    pub attention: AttentionConfig,
}

impl ExitKind for ChainConfig {
    fn body(&self, vs: &nn::Path, geometry: ExitGeometry) -> Result<Sequential> {
        let ExitGeometry { mut map, last, .. } = geometry;
        let mut body = self.attention.get().build(&(vs / "attention"), map.channels)?;
        let window = Window::same(3, 2);
        let mut wider = map.channels;
        for number in 1.. {
            let halved = map.slide(window, map.channels)?;
            let ends = halved.height <= last.height && halved.width <= last.width;
            let outputs = if ends { last.channels } else { wider.min(last.channels) };
            let vs = vs / format!("separable{number}");
            let geometry = ConvGeometry { inputs: map.channels, outputs, window };
            body = body
                .then(ConvConfig::DepthwiseSeparable.get().build(&(&vs / "conv"), geometry)?)
                .then(BatchNorm::relu(&(&vs / "norm"), outputs));
            if ends {
                break;
            }
            map = FeatureShape { channels: outputs, ..halved };
            wider = 2 * outputs;
        }
        Ok(body)
    }

    fn attention(&self) -> AttentionConfig {
        self.attention.clone()
    }

    fn describe(&self) -> String {
        format!("chain ({})", self.attention)
    }
}

impl Examples for ChainConfig {
    fn examples() -> Vec<Self> {
        vec![Self { attention: AttentionConfig::Eca(EcaConfig::default()) }]
    }
}
