//! A second network beside the one in training: the average of its weights, or the network of the
//! epoch before.

use std::collections::BTreeMap;

use anyhow::Result;
use sd_layers::Precision;
use sd_models::{ModelConfig, MultiExit, Task, variables};
use tch::{Tensor, nn};

/// A network of the same configuration, with variables of its own that no gradient changes.
#[derive(Debug)]
pub struct Twin {
    network: MultiExit,
    variables: nn::VarStore,
}

impl Twin {
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
        let twin = Self { network, variables };
        twin.copy(now);
        Ok(twin)
    }

    /// The network.
    pub fn network(&self) -> &MultiExit {
        &self.network
    }

    /// Its variables.
    pub fn variables(&self) -> &nn::VarStore {
        &self.variables
    }

    /// Its variables by name: what is copied into them is its state.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        variables(&self.variables)
    }

    /// Takes over all variables of `now`, running statistics included.
    pub fn copy(&self, now: &nn::VarStore) {
        self.each(now, |variable, now| variable.copy_(now));
    }

    /// Changes each variable, running statistics included, by its like in `now`.
    pub fn each(&self, now: &nn::VarStore, change: impl Fn(&mut Tensor, &Tensor)) {
        let _no_grad = tch::no_grad_guard();
        let now = variables(now);
        for (name, mut variable) in variables(&self.variables) {
            change(&mut variable, &now[&name]);
        }
    }
}
