//! The exponential moving average of the weights over the steps (Polyak and Juditsky 1992), as
//! `torch.optim.swa_utils.AveragedModel` with `use_buffers` keeps it.

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Exponential moving average of the weights and running statistics, which is evaluated and saved
/// instead of the weights. In TOML: `ema = { decay = 0.999 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmaConfig {
    /// Share of the average kept at each step, above 0 and below 1. The average spans about
    /// 1 / (1 − decay) steps, which should be fewer than the steps of the run.
    pub decay: f64,
}

impl EmaConfig {
    /// Checks the range.
    ///
    /// # Errors
    /// Names the value and its range.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.decay > 0.0 && self.decay < 1.0,
            "train.ema.decay is {}, expected above 0 and below 1",
            self.decay
        );
        Ok(())
    }
}
