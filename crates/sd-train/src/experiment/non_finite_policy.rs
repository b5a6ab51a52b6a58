//! Policy for losses and gradients that are not finite.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens when a loss term or the gradient norm is not finite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NonFinitePolicy {
    /// The run stops, and its last checkpoint is kept. No step waits for the device: steps are checked
    /// in groups, before each checkpoint at the latest.
    #[default]
    Stop,
    /// The step is skipped with a warning: weights, running statistics and the state of the
    /// optimiser stay as they were. Waits for the device once per step.
    Skip,
}

impl NonFinitePolicy {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
