//! The shallow classifier of SCAN (Zhang et al. 2019, <https://arxiv.org/abs/1906.03951>), a heavy
//! baseline.

use sd_layers::{Linear, ScanAttention, Sequential};
use tch::nn;

use super::byot::bottleneck;
use super::{ExitGeometry, Pooled};

/// M of the authors' code, at every width.
const MIDDLE: i64 = 128;

/// SCAN's attention, Be Your Own Teacher's bottleneck with M = 128, global pool, linear.
///
/// # Errors
/// Says which layer does not fit.
pub fn scan(vs: &nn::Path, geometry: ExitGeometry) -> sd_layers::Result<Pooled> {
    let ExitGeometry { map, last, classes } = geometry;
    let body = Sequential::new()
        .then(ScanAttention::new(&(vs / "attention"), map.channels)?)
        .then(bottleneck(vs, geometry, MIDDLE)?);
    Ok(Pooled { body, linear: Linear::new(&(vs / "linear"), last.channels, classes) })
}
