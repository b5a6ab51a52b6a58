//! The shallow classifier of Be Your Own Teacher (Zhang et al. 2019,
//! <https://arxiv.org/abs/1905.08094>), a baseline with many parameters.

use sd_layers::{AttentionConfig, Result, Sequential};
use tch::nn;

use super::bottleneck::bottleneck;
use super::{ExitGeometry, ExitKind};

/// A bottleneck of D/4 channels.
pub struct Byot;

impl ExitKind for Byot {
    fn body(&self, vs: &nn::Path, geometry: ExitGeometry) -> Result<Sequential> {
        Ok(bottleneck(vs, geometry, (geometry.last.channels / 4).max(1)))
    }

    fn attention(&self) -> AttentionConfig {
        AttentionConfig::None
    }

    fn describe(&self) -> String {
        "byot".to_owned()
    }
}
