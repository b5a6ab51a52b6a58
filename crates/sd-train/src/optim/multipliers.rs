//! Learning rate and weight decay by kind of parameter.

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::ranges;

/// Multipliers of the learning rate and the weight decay of some kinds of parameters. In TOML:
/// `multipliers = { depthwise_decay = 0.0 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MultipliersConfig {
    /// Of the weight decay of depthwise filters, at least 0.
    pub depthwise_decay: f64,
    /// Of the weight decay of 1×1 convolutions, at least 0.
    pub pointwise_decay: f64,
    /// Of the learning rate of batch norm's biases, above 0.
    pub norm_bias_rate: f64,
}

impl Default for MultipliersConfig {
    fn default() -> Self {
        Self { depthwise_decay: 1.0, pointwise_decay: 1.0, norm_bias_rate: 1.0 }
    }
}

impl MultipliersConfig {
    pub(crate) fn check(&self) -> Result<()> {
        ranges::non_negative("train.multipliers.depthwise_decay", self.depthwise_decay)?;
        ranges::non_negative("train.multipliers.pointwise_decay", self.pointwise_decay)?;
        ranges::positive("train.multipliers.norm_bias_rate", self.norm_bias_rate)
    }

    /// Multiplier of the weight decay of a parameter.
    pub(super) fn decay(&self, value: &Tensor) -> f64 {
        match value.size()[..] {
            [] | [_] => 0.0,
            [_, 1, _, _] => self.depthwise_decay,
            [_, _, 1, 1] => self.pointwise_decay,
            _ => 1.0,
        }
    }

    /// Multiplier of the learning rate of a parameter.
    pub(super) fn rate(&self, name: &str) -> f64 {
        if name.ends_with("norm.bias") { self.norm_bias_rate } else { 1.0 }
    }
}
