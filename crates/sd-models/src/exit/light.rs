//! The light shallow classifier: attention of nearly no cost instead of a heavy body.

use sd_layers::{
    AttentionConfig, BatchNormRelu, Block, ConvConfig, ConvGeometry, Cost, FeatureShape, Linear,
    Sequential, Window, global_average,
};
use serde::{Deserialize, Serialize};
use tch::nn::ModuleT;
use tch::{Tensor, nn};

use super::{Exit, ExitGeometry, ExitOutput};

/// Configuration of [`Light`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LightConfig {
    /// Attention before the reduction.
    pub attention: AttentionConfig,
}

/// Attention, one depthwise-separable 3×3 convolution with stride 2 from C to D, batch norm,
/// ReLU, global pool, linear.
#[derive(Debug)]
pub struct Light {
    body: Sequential,
    linear: Linear,
}

impl Light {
    /// The classifier for this place.
    ///
    /// # Errors
    /// Says which layer does not fit.
    pub fn new(
        vs: &nn::Path,
        geometry: ExitGeometry,
        config: &LightConfig,
    ) -> sd_layers::Result<Self> {
        let ExitGeometry { map, last, classes } = geometry;
        let width = last.channels;
        let reduction =
            ConvGeometry { inputs: map.channels, outputs: width, window: Window::same(3, 2) };
        let body = Sequential::new()
            .then(config.attention.build(&(vs / "attention"), map.channels)?)
            .then(ConvConfig::DepthwiseSeparable.build(&(vs / "reduce"), reduction)?)
            .then(BatchNormRelu::new(&(vs / "norm"), width));
        Ok(Self { body, linear: Linear::new(&(vs / "linear"), width, classes) })
    }
}

impl Exit for Light {
    fn forward(&self, map: &Tensor, train: bool) -> ExitOutput {
        let feature = global_average(&self.body.forward_t(map, train));
        ExitOutput { logits: feature.apply(&self.linear), feature }
    }

    fn cost(&self, map: FeatureShape) -> sd_layers::Result<Cost> {
        Ok(self.body.cost(map)?.0 + self.linear.cost())
    }
}
