//! The network of the epoch before, for an objective that learns from it.

use std::collections::BTreeMap;

use anyhow::Result;
use sd_layers::Precision;
use sd_models::{ModelConfig, MultiExit, Task};
use tch::{Tensor, nn};

use crate::twin::Twin;

/// A second network, whose weights change once an epoch.
#[derive(Debug)]
pub struct Previous(Twin);

impl Previous {
    /// A copy of the network that was built of `model` in `now`.
    ///
    /// # Errors
    /// None where the network itself was built.
    pub fn new(
        model: &ModelConfig,
        task: Task,
        precision: Precision,
        now: &nn::VarStore,
    ) -> Result<Self> {
        Ok(Self(Twin::new(model, task, precision, now)?))
    }

    /// The network.
    pub fn network(&self) -> &MultiExit {
        self.0.network()
    }

    /// Takes over the weights and running statistics of the network at the end of an epoch.
    pub fn remember(&self, now: &nn::VarStore) {
        self.0.each(now, |variable, now| variable.copy_(now));
    }

    /// Its variables: what is copied into them is its state.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        self.0.state()
    }
}
