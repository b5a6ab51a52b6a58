//! Attention: modules that weigh a feature map and keep its shape.

mod eca;
mod simam;
mod squeeze_excite;

pub use eca::{Eca, EcaConfig};
pub use simam::{SimAm, SimAmConfig};
pub use squeeze_excite::{SqueezeExcite, SqueezeExciteConfig};

use serde::{Deserialize, Serialize};
use tch::nn;

use crate::{Block, Result, Sequential};

/// An attention module. In TOML: `"none"`, `{ eca = {} }`, `{ squeeze_excite = { reduction = 8 } }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}

impl AttentionConfig {
    /// The module for feature maps `[N, channels, H, W]`.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for a value outside its range.
    pub fn build(&self, vs: &nn::Path, channels: i64) -> Result<Box<dyn Block>> {
        Ok(match self {
            Self::None => Box::new(Sequential::new()),
            Self::Eca(config) => Box::new(Eca::new(vs, channels, config)?),
            Self::Simam(config) => Box::new(SimAm::new(config)),
            Self::SqueezeExcite(config) => Box::new(SqueezeExcite::new(vs, channels, config)?),
        })
    }

    /// Its name, as in TOML.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Eca(_) => "eca",
            Self::Simam(_) => "simam",
            Self::SqueezeExcite(_) => "squeeze_excite",
        }
    }

    /// One of each kind, for tests that hold for all.
    pub fn examples() -> Vec<Self> {
        vec![
            Self::None,
            Self::Eca(EcaConfig::default()),
            Self::Simam(SimAmConfig::default()),
            Self::SqueezeExcite(SqueezeExciteConfig { reduction: 2 }),
        ]
    }
}
