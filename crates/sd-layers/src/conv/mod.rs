//! Kinds of convolution, and the geometry that one is built for.

mod convolution;
mod dense;
mod depthwise_separable;
mod grouped;
mod reparameterised;
mod separable_pair;

pub use convolution::{ConvGeometry, Convolution};
pub(crate) use grouped::{shuffle_channels, write_shuffle};
pub use reparameterised::merge_branches;
pub use separable_pair::separable_pair;

use schemars::JsonSchema;
use sd_variants::variants;
use serde::{Deserialize, Serialize};
use tch::nn;

use crate::{Result, Sequential};

/// A kind of convolution.
pub trait ConvKind {
    /// Builds the convolution: `[N, inputs, H, W]` to `[N, outputs, H', W']`, without bias because a
    /// batch norm follows.
    ///
    /// # Errors
    /// [`Error::Groups`](crate::Error::Groups) if channels do not divide by the groups.
    fn build(&self, vs: &nn::Path, geometry: ConvGeometry) -> Result<Sequential>;

    /// A short name: `dense`, `grouped8`, `depthwise_separable`.
    fn name(&self) -> String;

    /// The kind that it becomes after training, see [`merge_branches`]; `None` if it stays.
    fn merged(&self) -> Option<ConvConfig> {
        None
    }
}

variants! {
    /// A kind of convolution. In TOML: `"dense"`, `"depthwise_separable"`,
    /// `{ grouped = { groups = 8 } }`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum ConvConfig: ConvKind {
        /// One window over all channels.
        Dense = dense::Dense,
        Grouped(grouped::GroupedConfig),
        /// A depthwise convolution, then a pointwise one.
        DepthwiseSeparable = depthwise_separable::DepthwiseSeparable,
        /// A dense convolution that has a 1×1 and an identity branch in training, and is one dense
        /// convolution afterwards.
        ReparameterisedDense = reparameterised::ReparameterisedDense,
        /// A depthwise-separable convolution whose two parts have such branches in training.
        ReparameterisedSeparable = reparameterised::ReparameterisedSeparable,
    }
}
