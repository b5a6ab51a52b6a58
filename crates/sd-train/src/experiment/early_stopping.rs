//! Early stopping: the run ends when validation no longer improves.

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ends the run, as finished, when the deepest exit has not improved on the validation images, in
/// accuracy or, at the same accuracy, in loss, for `patience` epochs. In TOML:
/// `early_stopping = { patience = 10 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStoppingConfig {
    /// Epochs without improvement, at least 1.
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

    /// Whether the run ends after `epoch` epochs, of which `best` was the best.
    pub fn ends(&self, epoch: u64, best: u64) -> bool {
        epoch - best >= self.patience
    }
}
