//! The shallow classifier of SCAN (Zhang et al. 2019, <https://arxiv.org/abs/1906.03951>), a baseline
//! with many parameters.

use sd_layers::{AttentionConfig, Result, Sequential};
use tch::nn;

use super::bottleneck::bottleneck;
use super::{ExitGeometry, ExitKind};

/// Channels of the bottleneck in the authors' code, at every width.
const MIDDLE: i64 = 128;

/// SCAN's attention, then a bottleneck of 128 channels.
pub struct Scan;

impl ExitKind for Scan {
    fn body(&self, vs: &nn::Path, geometry: ExitGeometry) -> Result<Sequential> {
        let attention = self.attention().get().build(&(vs / "attention"), geometry.map.channels)?;
        Ok(attention.then(bottleneck(vs, geometry, MIDDLE)))
    }

    fn attention(&self) -> AttentionConfig {
        AttentionConfig::Scan
    }

    fn describe(&self) -> String {
        "scan".to_owned()
    }
}
