//! The shallow classifier of SCAN's journal version, *Self-Distillation: Towards Efficient and
//! Compact Neural Networks* (Zhang et al., TPAMI 2021, <https://doi.org/10.1109/TPAMI.2021.3067100>),
//! a baseline.

use sd_layers::{
    ConvGeometry, FeatureShape, Linear, SeparablePair, Sequential, TpamiAttention, Window,
};
use tch::nn;

use super::{ExitGeometry, Pooled};

/// The journal version's attention, separable convolutions that each halve the map and double its
/// channels until both are the last stage's, global pool, linear.
///
/// # Errors
/// Says which layer does not fit.
pub fn tpami(vs: &nn::Path, geometry: ExitGeometry) -> sd_layers::Result<Pooled> {
    let ExitGeometry { mut map, last, classes } = geometry;
    let mut body = Sequential::new().then(TpamiAttention::new(&(vs / "attention"), map.channels)?);
    let mut number = 1;
    while map.height > last.height || map.channels != last.channels {
        let stride = if map.height > last.height { 2 } else { 1 };
        let window = Window::same(3, stride);
        let next = map.slide(window, (2 * map.channels).min(last.channels))?;
        let outputs = if next.height > last.height { next.channels } else { last.channels };
        let geometry = ConvGeometry { inputs: map.channels, outputs, window };
        body = body.then(SeparablePair::new(&(vs / format!("separable{number}")), geometry)?);
        map = FeatureShape { channels: outputs, ..next };
        number += 1;
    }
    Ok(Pooled { body, linear: Linear::new(&(vs / "linear"), last.channels, classes) })
}
