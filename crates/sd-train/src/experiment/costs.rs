//! Parameters and multiply-accumulates of an experiment's network.

use anyhow::Result;
use sd_layers::{Cost, Precision};
use sd_models::{ModelConfig, MultiExit, Task};
use tch::{Device, nn};

/// Costs of a network, for one image.
#[derive(Debug, Clone)]
pub struct NetworkCosts {
    /// Network that ends at each exit and has no other, shallow first; the last is the deployed one.
    pub exits: Vec<Cost>,
    /// Network with all exits.
    pub framework: Cost,
    /// Deployed network with dense convolutions.
    pub dense_original: Cost,
}

impl NetworkCosts {
    /// Network up to its deepest exit, without the others.
    pub fn deployed(&self) -> Cost {
        *self.exits.last().expect("a network has a deepest exit")
    }

    /// Costs of `network`, which was built from `config`.
    ///
    /// # Errors
    /// If the dense original does not build.
    pub fn of(network: &MultiExit, config: &ModelConfig, task: Task) -> Result<Self> {
        let original =
            ModelConfig { backbone: config.backbone.get().dense_original(), exits: None };
        Ok(Self {
            exits: network.cost_of_exits()?,
            framework: network.framework_cost()?,
            dense_original: deployed_cost(&original, task)?,
        })
    }
}

/// Cost of a network up to its deepest exit.
///
/// # Errors
/// If it does not build.
pub fn deployed_cost(config: &ModelConfig, task: Task) -> Result<Cost> {
    let config = ModelConfig { backbone: config.backbone.clone(), exits: None };
    let scratch = nn::VarStore::new(Device::Cpu);
    Ok(MultiExit::build(&scratch.root(), &config, task, Precision::F32)?.framework_cost()?)
}
