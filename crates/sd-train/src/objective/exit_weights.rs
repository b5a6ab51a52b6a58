//! A weight for each exit's loss.

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ranges;

/// Weight of each exit's terms, the deepest exit's last, each at least 0; empty for 1 each. An exit of
/// weight 0 does not learn, but can teach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ExitWeights(Vec<f64>);

impl ExitWeights {
    /// The weight of an exit, from 0.
    pub(super) fn of(&self, exit: usize) -> f64 {
        self.0.get(exit).copied().unwrap_or(1.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks them against the number of exits.
    ///
    /// # Errors
    /// Names the key and what was expected.
    pub(super) fn check(&self, exits: usize) -> Result<()> {
        const KEY: &str = "objective: exit_weights";
        if self.is_empty() {
            return Ok(());
        }
        let count = self.0.len();
        ensure!(count == exits, "{KEY} has {count} values, expected {exits}, one for each exit");
        self.0.iter().try_for_each(|&weight| ranges::non_negative(KEY, weight))?;
        ensure!(self.0.iter().any(|&weight| weight > 0.0), "{KEY} are all 0, expected one above 0");
        Ok(())
    }
}
