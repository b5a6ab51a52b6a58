//! The exponential moving average of the weights over the steps (Polyak and Juditsky 1992), as
//! `torch.optim.swa_utils.AveragedModel` with `use_buffers` keeps it.

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ranges;

/// Exponential moving average of the weights and running statistics, which is evaluated and saved
/// instead of the weights. In TOML: `ema = { decay = 0.999 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmaConfig {
    /// Share of the average kept at each step, above 0 and below 1. The average spans about
    /// 1 / (1 − decay) steps, fewer at the start of the run.
    pub decay: f64,
}

impl EmaConfig {
    /// Checks the range.
    ///
    /// # Errors
    /// Names the value and its range.
    pub fn check(&self) -> Result<()> {
        ranges::inner_share("train.ema.decay", self.decay)
    }

    /// Decay of update `number`, from 1: at most (1 + number) / (10 + number), so that the average
    /// leaves the initial weights early, as TensorFlow's `ExponentialMovingAverage` does.
    pub fn decay_at(&self, number: u64) -> f64 {
        let number = number as f64;
        self.decay.min((1.0 + number) / (10.0 + number))
    }
}
