//! The light shallow classifier: attention of nearly no cost instead of a heavy body.

use sd_layers::{
    AttentionConfig, AveragePool, BatchNormRelu, Block, ConvGeometry, Convolution, Cost, Error,
    FeatureShape, Linear, Sequential, Window, global_average,
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
    /// Largest side of the map on which channels are widened from C to D, at least 1. Most of the
    /// exit's multiplications and memory are there.
    #[serde(default = "LightConfig::default_side")]
    pub side: i64,
}

impl LightConfig {
    /// Light exits with this attention, and `side` as docs/method.md measures it.
    pub fn new(attention: AttentionConfig) -> Self {
        Self { attention, side: Self::default_side() }
    }

    fn default_side() -> i64 {
        4
    }
}

/// Attention, a depthwise 3×3 convolution with stride 2, batch norm, ReLU, average pool down to
/// `side`, a pointwise convolution from C to D, batch norm, ReLU, global pool, linear.
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
        if config.side < 1 {
            return Err(Error::Value {
                key: "light.side",
                found: config.side,
                expected: "at least 1",
            });
        }
        let (inputs, outputs) = (map.channels, last.channels);
        let halve = ConvGeometry { inputs, outputs: inputs, window: Window::same(3, 2) };
        let widen = ConvGeometry { inputs, outputs, window: Window::same(1, 1) };
        let mut body = Sequential::new()
            .then(config.attention.build(&(vs / "attention"), inputs)?)
            .then(Convolution::new(&(vs / "reduce" / "depthwise"), halve, inputs)?)
            .then(BatchNormRelu::new(&(vs / "reduce" / "norm"), inputs));
        let halved = map.slide(halve.window, inputs)?;
        let tile = (halved.height as u64).div_ceil(config.side as u64) as i64;
        if tile > 1 {
            body = body.then(AveragePool(Window::tiles(tile)));
        }
        let body = body
            .then(Convolution::new(&(vs / "reduce" / "pointwise"), widen, 1)?)
            .then(BatchNormRelu::new(&(vs / "norm"), outputs));
        Ok(Self { body, linear: Linear::new(&(vs / "linear"), outputs, classes) })
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
