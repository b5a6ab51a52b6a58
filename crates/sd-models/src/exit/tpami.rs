//! The shallow classifier of SCAN's journal version, *Self-Distillation: Towards Efficient and
//! Compact Neural Networks* (Zhang et al., TPAMI 2021, <https://doi.org/10.1109/TPAMI.2021.3067100>),
//! a baseline.

use sd_layers::{
    AttentionConfig, ConvGeometry, FeatureShape, Result, Sequential, Window, separable_pair,
};
use tch::nn;

use super::{ExitGeometry, ExitKind};

/// The journal version's attention, then separable convolutions that each halve the map and double
/// its channels until both are the last stage's.
pub struct Tpami;

impl ExitKind for Tpami {
    fn body(&self, vs: &nn::Path, geometry: ExitGeometry) -> Result<Sequential> {
        let ExitGeometry { mut map, last, .. } = geometry;
        let mut body = self.attention().get().build(&(vs / "attention"), map.channels)?;
        let mut number = 1;
        while map.height > last.height || map.channels != last.channels {
            let stride = if map.height > last.height { 2 } else { 1 };
            let window = Window::same(3, stride);
            let next = map.slide(window, (2 * map.channels).min(last.channels))?;
            let outputs = if next.height > last.height { next.channels } else { last.channels };
            let geometry = ConvGeometry { inputs: map.channels, outputs, window };
            body = body.then(separable_pair(&(vs / format!("separable{number}")), geometry));
            map = FeatureShape { channels: outputs, ..next };
            number += 1;
        }
        Ok(body)
    }

    fn attention(&self) -> AttentionConfig {
        AttentionConfig::Tpami
    }

    fn describe(&self) -> String {
        "tpami".to_owned()
    }
}
