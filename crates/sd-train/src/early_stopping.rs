//! Ending a run when the validation split no longer improves.

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Position;

/// Ends the run, as finished, when the deepest exit's top-1 on the validation split has not
/// risen for some epochs. In TOML: `early_stopping = { patience = 10 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStoppingConfig {
    /// Epochs since the best one, at least 1.
    pub patience: u64,
}

impl EarlyStoppingConfig {
    /// Checks the range.
    ///
    /// # Errors
    /// Names the value and its range.
    pub fn check(&self) -> Result<()> {
        ensure!(self.patience > 0, "train.early_stopping.patience is 0, expected at least 1");
        Ok(())
    }

    /// Whether the run has ended at `position`.
    pub fn ends(&self, position: &Position) -> bool {
        let best = position.best.map_or(0, |best| best.epoch);
        position.best.is_some() && position.epoch - best >= self.patience
    }
}
