//! The light shallow classifier: attention of nearly no cost instead of a heavy body.

use schemars::JsonSchema;
use sd_layers::{
    AttentionConfig, AveragePool, BatchNorm, ConvGeometry, Convolution, Error, Linear, Sequential,
    Window,
};
use serde::{Deserialize, Serialize};
use tch::nn;

use super::{ExitGeometry, Pooled};

/// Attention, a depthwise 3×3 convolution with stride 2, batch norm, ReLU, average pool down to
/// `side`, a pointwise convolution from C to D, batch norm, ReLU, global pool, linear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LightConfig {
    /// Attention before the reduction.
    pub attention: AttentionConfig,
    /// Largest side of the map on which channels are widened from C to D, at least 1. What that costs
    /// grows by its square.
    #[serde(default = "LightConfig::default_side")]
    pub side: i64,
}

impl LightConfig {
    /// Light exits with this attention, and `side` as docs/method.md measures it.
    pub fn new(attention: AttentionConfig) -> Self {
        Self { attention, side: Self::default_side() }
    }

    fn default_side() -> i64 {
        1
    }

    /// The classifier for this place.
    ///
    /// # Errors
    /// Says which layer does not fit.
    pub fn build(&self, vs: &nn::Path, geometry: ExitGeometry) -> sd_layers::Result<Pooled> {
        let ExitGeometry { map, last, classes } = geometry;
        if self.side < 1 {
            return Err(Error::Value {
                key: "light.side",
                found: self.side,
                expected: "at least 1",
            });
        }
        let (inputs, outputs) = (map.channels, last.channels);
        let halve = ConvGeometry { inputs, outputs: inputs, window: Window::same(3, 2) };
        let widen = ConvGeometry { inputs, outputs, window: Window::same(1, 1) };
        let mut body = Sequential::new()
            .then(self.attention.build(&(vs / "attention"), inputs)?)
            .then(Convolution::new(&(vs / "reduce" / "depthwise"), halve, inputs)?)
            .then(BatchNorm::relu(&(vs / "reduce" / "norm"), inputs));
        let halved = map.slide(halve.window, inputs)?;
        let (longer, shorter) = (halved.height.max(halved.width), halved.height.min(halved.width));
        let tile = ((longer - 1) / self.side + 1).min(shorter);
        if tile > 1 {
            body = body.then(AveragePool(Window::tiles(tile)));
        }
        let body = body
            .then(Convolution::new(&(vs / "reduce" / "pointwise"), widen, 1)?)
            .then(BatchNorm::relu(&(vs / "norm"), outputs));
        Ok(Pooled { body, linear: Linear::new(&(vs / "linear"), outputs, classes) })
    }
}
