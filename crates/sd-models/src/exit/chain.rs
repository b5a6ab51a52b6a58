//! The deeper of the light shallow classifiers: attention of nearly no cost, and one separable
//! convolution for each halving of the map that the exit passes over.

use schemars::JsonSchema;
use sd_layers::{
    AttentionConfig, BatchNorm, ConvGeometry, DepthwiseSeparable, FeatureShape, Linear, Sequential,
    Window,
};
use serde::{Deserialize, Serialize};
use tch::nn;

use super::{ExitGeometry, Pooled};

/// Attention, depthwise-separable 3×3 convolutions with stride 2, each with batch norm and ReLU,
/// until the map is no larger than the last stage's, at least one; global pool, linear.
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

impl ChainConfig {
    /// The classifier for this place.
    ///
    /// # Errors
    /// Says which layer does not fit.
    pub fn build(&self, vs: &nn::Path, geometry: ExitGeometry) -> sd_layers::Result<Pooled> {
        let ExitGeometry { mut map, last, classes } = geometry;
        let mut body =
            Sequential::new().then(self.attention.build(&(vs / "attention"), map.channels)?);
        let window = Window::same(3, 2);
        let mut wider = map.channels;
        for number in 1.. {
            let halved = map.slide(window, map.channels)?;
            let ends = halved.height <= last.height && halved.width <= last.width;
            let outputs = if ends { last.channels } else { wider.min(last.channels) };
            let vs = vs / format!("separable{number}");
            let geometry = ConvGeometry { inputs: map.channels, outputs, window };
            body = body
                .then(DepthwiseSeparable::new(&(&vs / "conv"), geometry)?)
                .then(BatchNorm::relu(&(&vs / "norm"), outputs));
            if ends {
                break;
            }
            map = FeatureShape { channels: outputs, ..halved };
            wider = 2 * outputs;
        }
        Ok(Pooled { body, linear: Linear::new(&(vs / "linear"), last.channels, classes) })
    }
}
