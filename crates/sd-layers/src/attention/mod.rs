//! Attention: modules that weigh a feature map and keep its shape.

mod cbam;
mod coordinate;
mod eca;
mod scan;
mod shuffle;
mod simam;
mod spatial_group;
mod squeeze_excite;
mod tpami;
mod triplet;

pub use cbam::{Cbam, CbamConfig};
pub use coordinate::{Coordinate, CoordinateConfig};
pub use eca::{Eca, EcaConfig};
pub use scan::ScanAttention;
pub use shuffle::{Shuffle, ShuffleConfig};
pub use simam::{SimAm, SimAmConfig};
pub use spatial_group::{SpatialGroup, SpatialGroupConfig};
pub use squeeze_excite::{SqueezeExcite, SqueezeExciteConfig};
pub use tpami::TpamiAttention;
pub use triplet::{Triplet, TripletConfig};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::nn;

use crate::{Block, Result, Sequential};

/// An attention module. In TOML: `"none"`, `{ eca = {} }`, `{ squeeze_excite = { reduction = 8 } }`,
/// `"scan"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttentionConfig {
    /// The feature map as it is.
    None,
    /// Efficient channel attention.
    Eca(EcaConfig),
    /// Parameter-free attention by each neuron's energy.
    Simam(SimAmConfig),
    /// Squeeze and excitation.
    SqueezeExcite(SqueezeExciteConfig),
    /// CBAM: channels, then positions.
    Cbam(CbamConfig),
    /// SGE: positions, by groups of channels.
    SpatialGroup(SpatialGroupConfig),
    /// Rows and columns.
    Coordinate(CoordinateConfig),
    /// SA-Net: channels and positions in halves, interleaved.
    Shuffle(ShuffleConfig),
    /// Each pair of the axes channel, row and column.
    Triplet(TripletConfig),
    /// SCAN's convolution and transposed convolution, heavy.
    Scan,
    /// The separable convolutions of SCAN's journal version, heavy.
    Tpami,
}

impl AttentionConfig {
    /// The module for feature maps `[N, channels, H, W]`.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for a value outside its range,
    /// [`Error::Groups`](crate::Error::Groups) for channels that do not divide by groups.
    pub fn build(&self, vs: &nn::Path, channels: i64) -> Result<Box<dyn Block>> {
        Ok(match self {
            Self::None => Box::new(Sequential::new()),
            Self::Eca(config) => Box::new(Eca::new(vs, channels, config)?),
            Self::Simam(config) => Box::new(SimAm::new(config)),
            Self::SqueezeExcite(config) => Box::new(SqueezeExcite::new(vs, channels, config)?),
            Self::Cbam(config) => Box::new(Cbam::new(vs, channels, config)?),
            Self::SpatialGroup(config) => Box::new(SpatialGroup::new(vs, channels, config)?),
            Self::Coordinate(config) => Box::new(Coordinate::new(vs, channels, config)?),
            Self::Shuffle(config) => Box::new(Shuffle::new(vs, channels, config)?),
            Self::Triplet(config) => Box::new(Triplet::new(vs, channels, config)?),
            Self::Scan => Box::new(ScanAttention::new(vs, channels)?),
            Self::Tpami => Box::new(TpamiAttention::new(vs, channels)?),
        })
    }

    /// Its name, as in TOML.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Eca(_) => "eca",
            Self::Simam(_) => "simam",
            Self::SqueezeExcite(_) => "squeeze_excite",
            Self::Cbam(_) => "cbam",
            Self::SpatialGroup(_) => "spatial_group",
            Self::Coordinate(_) => "coordinate",
            Self::Shuffle(_) => "shuffle",
            Self::Triplet(_) => "triplet",
            Self::Scan => "scan",
            Self::Tpami => "tpami",
        }
    }

    /// One of each kind as its paper has it, for tests that hold for all and for tables of costs.
    pub fn examples() -> Vec<Self> {
        vec![
            Self::None,
            Self::Eca(EcaConfig::default()),
            Self::Simam(SimAmConfig::default()),
            Self::SqueezeExcite(SqueezeExciteConfig::default()),
            Self::Cbam(CbamConfig::default()),
            Self::SpatialGroup(SpatialGroupConfig::default()),
            Self::Coordinate(CoordinateConfig::default()),
            Self::Shuffle(ShuffleConfig::default()),
            Self::Triplet(TripletConfig::default()),
            Self::Scan,
            Self::Tpami,
        ]
    }
}
