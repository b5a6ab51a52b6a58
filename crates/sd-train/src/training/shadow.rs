//! A shadow model: the moving average of the network in training, or its state after the previous
//! epoch.

use std::collections::BTreeMap;

use anyhow::Result;
use sd_layers::Precision;
use sd_models::{ModelConfig, MultiExit, Task, variables};
use tch::{Tensor, nn};

/// A second network of the same configuration, whose variables are not trained.
#[derive(Debug)]
pub struct ShadowModel {
    network: MultiExit,
    variables: nn::VarStore,
}

impl ShadowModel {
    /// A copy of the network with the variables `now`, which was built from `model`.
    ///
    /// # Errors
    /// None if that network was built.
    pub fn new(
        model: &ModelConfig,
        task: Task,
        precision: Precision,
        now: &nn::VarStore,
    ) -> Result<Self> {
        let mut variables = nn::VarStore::new(now.device());
        let network = MultiExit::build(&variables.root(), model, task, precision)?;
        variables.freeze();
        let shadow = Self { network, variables };
        shadow.copy_from(now);
        Ok(shadow)
    }

    /// The network.
    pub fn network(&self) -> &MultiExit {
        &self.network
    }

    /// Its variables.
    pub fn variables(&self) -> &nn::VarStore {
        &self.variables
    }

    /// Its variables by name. They share storage with the model.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        variables(&self.variables)
    }

    /// Copies all variables of `now`, running statistics included.
    pub fn copy_from(&self, now: &nn::VarStore) {
        self.update_from(now, |variable, now| variable.copy_(now));
    }

    /// Moves each variable towards its value w in `now`: w̄ ← w̄ + (1 − decay) · (w − w̄).
    pub fn average(&self, now: &nn::VarStore, decay: f64) {
        self.update_from(now, |average, now| {
            let _ = average.lerp_(now, 1.0 - decay);
        });
    }

    /// Updates each variable, running statistics included, from the variable of that name in `now`.
    fn update_from(&self, now: &nn::VarStore, change: impl Fn(&mut Tensor, &Tensor)) {
        let _no_grad = tch::no_grad_guard();
        let now = variables(now);
        for (name, mut variable) in variables(&self.variables) {
            change(&mut variable, &now[&name]);
        }
    }
}
