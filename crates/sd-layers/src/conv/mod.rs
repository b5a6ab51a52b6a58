//! Kinds of convolution, and what one is built from.

mod convolution;
mod depthwise_separable;
mod grouped;
mod separable_pair;

pub use convolution::Convolution;
pub use depthwise_separable::DepthwiseSeparable;
pub use grouped::{Grouped, GroupedConfig};
pub(crate) use grouped::{shuffle_channels, write_shuffle};
pub use separable_pair::SeparablePair;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::nn;

use crate::shape::Window;
use crate::{Block, Result};

/// Which channels a convolution maps, and the window it slides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Channels in.
    pub inputs: i64,
    /// Channels out.
    pub outputs: i64,
    /// The window.
    pub window: Window,
}

/// A kind of convolution. In TOML: `"dense"`, `"depthwise_separable"`,
/// `{ grouped = { groups = 8 } }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConvConfig {
    /// Every output channel sees every input channel.
    Dense,
    /// Channels in groups that do not see each other.
    Grouped(GroupedConfig),
    /// Each channel alone, then across the channels at each position.
    DepthwiseSeparable,
}

impl ConvConfig {
    /// The convolution: `[N, inputs, H, W]` to `[N, outputs, H', W']`, without bias (a batch norm
    /// follows).
    ///
    /// # Errors
    /// [`Error::Groups`](crate::Error::Groups) if channels do not divide by the groups.
    pub fn build(&self, vs: &nn::Path, geometry: ConvGeometry) -> Result<Box<dyn Block>> {
        Ok(match self {
            Self::Dense => Box::new(Convolution::new(vs, geometry, 1)?),
            Self::Grouped(config) => Box::new(Grouped::new(vs, geometry, config)?),
            Self::DepthwiseSeparable => Box::new(DepthwiseSeparable::new(vs, geometry)?),
        })
    }

    /// Its name in a word: `dense`, `grouped8`, `depthwise_separable`.
    pub fn name(&self) -> String {
        match self {
            Self::Dense => "dense".to_owned(),
            Self::Grouped(config) => format!("grouped{}", config.groups),
            Self::DepthwiseSeparable => "depthwise_separable".to_owned(),
        }
    }

    /// One of each kind, for tests that hold for all.
    pub fn examples() -> Vec<Self> {
        vec![
            Self::Dense,
            Self::Grouped(GroupedConfig { groups: 4, shuffle: false }),
            Self::Grouped(GroupedConfig { groups: 4, shuffle: true }),
            Self::DepthwiseSeparable,
        ]
    }
}
