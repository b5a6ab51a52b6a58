//! The exponential moving average of the weights over the steps (Polyak and Juditsky 1992), as
//! `torch.optim.swa_utils.AveragedModel` with `use_buffers` keeps it.

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::nn;

use crate::twin::Twin;

/// A moving average of the weights, running statistics included, which is evaluated and saved in
/// place of the weights themselves. In TOML: `ema = { decay = 0.999 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmaConfig {
    /// Share of the average kept at each step, above 0 and below 1. It looks back about
    /// 1 / (1 − decay) steps, which should be fewer than the run has.
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

    /// Moves the average towards the weights `now`: w̄ ← w̄ + (1 − decay) · (w − w̄).
    pub fn update(&self, average: &Twin, now: &nn::VarStore) {
        average.each(now, |average, now| {
            let _ = average.lerp_(now, 1.0 - self.decay);
        });
    }
}
