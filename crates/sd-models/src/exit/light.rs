//! The light shallow classifier: an attention with few parameters instead of a heavy body.

use schemars::JsonSchema;
use sd_layers::{AttentionConfig, BatchNorm, Convolution, Error, Pool, Result, Sequential, Window};
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use tch::nn;

use super::{ExitGeometry, ExitKind};

/// Attention, a depthwise 3×3 convolution with stride 2, batch norm, ReLU, average pool down to
/// `side`, a pointwise convolution from C to D, batch norm, ReLU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LightConfig {
    /// Attention before the reduction.
    pub attention: AttentionConfig,
    /// Largest side of the map on which channels are widened from C to D, at least 1. The cost of
    /// widening grows with its square.
    #[serde(default = "LightConfig::default_side")]
    pub side: i64,
}

impl LightConfig {
    /// Light exits with this attention, and `side` as docs/results/exit-side measures it.
    pub fn new(attention: AttentionConfig) -> Self {
        Self { attention, side: Self::default_side() }
    }

    fn default_side() -> i64 {
        1
    }
}

impl ExitKind for LightConfig {
    fn body(&self, vs: &nn::Path, geometry: ExitGeometry) -> Result<Sequential> {
        let ExitGeometry { map, last, .. } = geometry;
        if self.side < 1 {
            let (key, found, expected) = ("light.side", self.side.to_string(), "at least 1");
            return Err(Error::Value { key, found, expected });
        }
        let (inputs, outputs) = (map.channels, last.channels);
        let (window, reduce) = (Window::same(3, 2), vs / "reduce");
        let attention = self.attention.get().build(&(vs / "attention"), inputs)?;
        let mut body = attention
            .then(Convolution::depthwise(&(&reduce / "depthwise"), inputs, window))
            .then(BatchNorm::relu(&(&reduce / "norm"), inputs));
        let halved = map.slide(window, inputs)?;
        let (longer, shorter) = (halved.height.max(halved.width), halved.height.min(halved.width));
        let tile = ((longer - 1) / self.side + 1).min(shorter);
        if tile > 1 {
            body = body.then(Pool::Average(Window::tiles(tile)));
        }
        Ok(body
            .then(Convolution::pointwise(&(&reduce / "pointwise"), inputs, outputs))
            .then(BatchNorm::relu(&(vs / "norm"), outputs)))
    }

    fn attention(&self) -> AttentionConfig {
        self.attention.clone()
    }

    fn describe(&self) -> String {
        format!("light ({})", self.attention)
    }
}

/// One with each attention.
impl Examples for LightConfig {
    fn examples() -> Vec<Self> {
        AttentionConfig::examples().into_iter().map(Self::new).collect()
    }
}
