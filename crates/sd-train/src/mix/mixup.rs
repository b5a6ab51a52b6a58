//! mixup (Zhang et al. 2018, <https://arxiv.org/abs/1710.09412>).

use anyhow::Result;
use schemars::JsonSchema;
use sd_data::random::Stream;
use serde::{Deserialize, Serialize};

use super::{Mixture, beta, check_alpha};

/// share · x + (1 − share) · x′, and the labels alike; one share a batch, of Beta(α, α).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mixup {
    /// α, positive: the larger, the nearer are shares to a half. Published 1 on CIFAR, 0.2 on
    /// ImageNet.
    pub alpha: f64,
}

impl Mixup {
    /// What a batch is mixed by.
    pub fn draw(&self, random: &mut Stream) -> Mixture {
        Mixture::Sum(beta(self.alpha, random))
    }

    pub(super) fn check(&self) -> Result<()> {
        check_alpha(self.alpha)
    }
}
