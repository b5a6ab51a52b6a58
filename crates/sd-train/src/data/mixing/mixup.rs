//! mixup (Zhang et al. 2018, <https://arxiv.org/abs/1710.09412>).

use anyhow::Result;
use schemars::JsonSchema;
use sd_data::random::Stream;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};

use super::{Mix, Mixture, beta, check_alpha};

/// λ · x + (1 − λ) · x′, and the same for labels; one λ of Beta(α, α) per batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mixup {
    /// α, positive: the larger, the nearer λ is to 1/2. Published: 1 on CIFAR, 0.2 on ImageNet.
    pub alpha: f64,
}

impl Examples for Mixup {
    fn examples() -> Vec<Self> {
        vec![Self { alpha: 1.0 }]
    }
}

impl Mix for Mixup {
    fn name(&self) -> &'static str {
        "mixup"
    }

    fn alpha(&self) -> f64 {
        self.alpha
    }

    fn check(&self) -> Result<()> {
        check_alpha(self.alpha)
    }

    fn draw(&self, random: &mut Stream, _: [i64; 2]) -> Option<Mixture> {
        Some(Mixture::Sum(beta(self.alpha, random)))
    }
}
