//! The network of the epoch before, for an objective that learns from it.

use std::collections::BTreeMap;

use anyhow::Result;
use sd_layers::Precision;
use sd_models::{ModelConfig, MultiExit, Task, variables};
use tch::{Tensor, nn};

/// A second network, whose weights change once an epoch.
#[derive(Debug)]
pub struct Previous {
    network: MultiExit,
    variables: nn::VarStore,
}

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
        let mut variables = nn::VarStore::new(now.device());
        let network = MultiExit::build(&variables.root(), model, task, precision)?;
        variables.freeze();
        let previous = Self { network, variables };
        previous.remember(now);
        Ok(previous)
    }

    /// The network.
    pub fn network(&self) -> &MultiExit {
        &self.network
    }

    /// Takes over the weights and running statistics of the network at the end of an epoch.
    pub fn remember(&self, now: &nn::VarStore) {
        let now = variables(now);
        tch::no_grad(|| {
            for (name, mut variable) in variables(&self.variables) {
                variable.copy_(&now[&name]);
            }
        });
    }

    /// Its variables: what is copied into them is its state.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        variables(&self.variables)
    }
}
