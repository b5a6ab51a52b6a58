//! Attention: modules that scale a feature map and keep its shape.

mod cbam;
mod coordinate;
mod eca;
mod none;
mod scan;
mod shuffle;
mod simam;
mod spatial_group;
mod squeeze_excite;
mod tpami;
mod triplet;

use schemars::JsonSchema;
use sd_variants::variants;
use serde::{Deserialize, Serialize};
use tch::nn;

use crate::{Result, Sequential};

/// A kind of attention.
pub trait Attention {
    /// Builds the module for feature maps `[N, channels, H, W]`.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for a value outside its range,
    /// [`Error::Groups`](crate::Error::Groups) for channels that do not divide by groups.
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Sequential>;
}

variants! {
    /// An attention module. In TOML: `"none"`, `{ eca = {} }`,
    /// `{ squeeze_excite = { reduction = 8 } }`, `"scan"`. Displayed by its name.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, strum::Display)]
    #[serde(rename_all = "snake_case")]
    #[strum(serialize_all = "snake_case")]
    pub enum AttentionConfig: Attention {
        /// The feature map unchanged.
        None = none::NoAttention,
        Eca(eca::EcaConfig),
        Simam(simam::SimAmConfig),
        SqueezeExcite(squeeze_excite::SqueezeExciteConfig),
        Cbam(cbam::CbamConfig),
        SpatialGroup(spatial_group::SpatialGroupConfig),
        Coordinate(coordinate::CoordinateConfig),
        Shuffle(shuffle::ShuffleConfig),
        Triplet(triplet::TripletConfig),
        /// SCAN's convolution and transposed convolution: 25C² parameters.
        Scan = scan::Scan,
        /// The separable convolutions of SCAN's journal version: 2C² + 18C parameters.
        Tpami = tpami::Tpami,
    }
}
