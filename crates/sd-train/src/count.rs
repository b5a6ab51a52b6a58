//! Parameters and multiply-accumulates of configurations.

use anyhow::Result;
use sd_layers::{Cost, Precision};
use sd_models::{ModelConfig, MultiExit, Task};
use serde::Serialize;
use tch::{Device, nn};

use crate::config::Experiment;

/// What a configuration costs.
#[derive(Debug, Clone, Serialize)]
pub struct Count {
    /// The file.
    pub config: String,
    /// The experiment's name.
    pub model: String,
    /// Channels, height, width.
    pub input: [i64; 3],
    /// The network up to its deepest exit, without the shallow ones.
    pub deployed: Cost,
    /// The network with all its exits.
    pub framework: Cost,
    /// The same network with dense convolutions, deployed.
    pub dense_original: Cost,
    /// Each exit deployed alone.
    pub exits: Vec<Named>,
    /// Stem and stages, without exits.
    pub stages: Vec<Named>,
}

/// A cost with a name.
#[derive(Debug, Clone, Serialize)]
pub struct Named {
    /// Of what.
    pub name: String,
    /// Parameters.
    pub params: u64,
    /// Multiply-accumulates of one image.
    pub macs: u64,
}

/// Costs of a network by part.
#[derive(Debug, Clone)]
pub struct NetworkCosts {
    /// Each exit alone, shallow first; the last is the deployed network.
    pub exits: Vec<Cost>,
    /// With all exits.
    pub framework: Cost,
    /// Uncompressed, deployed.
    pub dense_original: Cost,
}

impl NetworkCosts {
    /// The network up to its deepest exit.
    pub fn deployed(&self) -> Cost {
        *self.exits.last().expect("a network has a deepest exit")
    }

    /// The costs of `network`, built from `config`.
    ///
    /// # Errors
    /// If the dense original does not build.
    pub fn of(network: &MultiExit, config: &ModelConfig, task: Task) -> Result<Self> {
        let original = ModelConfig { backbone: config.backbone.dense_original(), exits: None };
        Ok(Self {
            exits: network.cost_of_exits()?,
            framework: network.framework_cost()?,
            dense_original: deployed_cost(&original, task)?,
        })
    }
}

/// The cost of a network up to its deepest exit.
///
/// # Errors
/// If it does not build.
pub fn deployed_cost(config: &ModelConfig, task: Task) -> Result<Cost> {
    let config = ModelConfig { backbone: config.backbone.clone(), exits: None };
    let scratch = nn::VarStore::new(Device::Cpu);
    Ok(MultiExit::build(&scratch.root(), &config, task, Precision::F32)?.framework_cost()?)
}

/// Counts an experiment's network; `config` is what the result calls it.
///
/// # Errors
/// If the network does not build.
pub fn count(config: String, experiment: &Experiment) -> Result<Count> {
    let task = experiment.task();
    let vs = nn::VarStore::new(Device::Cpu);
    let network = MultiExit::build(&vs.root(), &experiment.model, task, Precision::F32)?;
    let costs = NetworkCosts::of(&network, &experiment.model, task)?;
    let named = |(name, cost): (String, Cost)| Named { name, params: cost.params, macs: cost.macs };
    let stages = network.cost_of_stages()?;
    let stage_names = ["stem".to_owned()]
        .into_iter()
        .chain((1..stages.len()).map(|stage| format!("stage{stage}")));
    Ok(Count {
        config,
        model: experiment.name.clone(),
        input: [task.input.channels, task.input.height, task.input.width],
        deployed: costs.deployed(),
        framework: costs.framework,
        dense_original: costs.dense_original,
        exits: network.exit_names().into_iter().zip(costs.exits.clone()).map(named).collect(),
        stages: stage_names.zip(stages).map(named).collect(),
    })
}

/// The counts as text for a terminal.
pub fn table(counts: &[Count]) -> String {
    let mut lines = Vec::new();
    for count in counts {
        let share = count.deployed.params as f64 / count.dense_original.params as f64;
        lines.push(format!("{} ({})", count.config, count.model));
        let parts = [("dense original", count.dense_original), ("framework", count.framework)];
        let exits = count
            .exits
            .iter()
            .map(|exit| (exit.name.as_str(), Cost { params: exit.params, macs: exit.macs }));
        for (name, cost) in parts.into_iter().chain(exits) {
            lines
                .push(format!("  {name:<15}{:>12} parameters {:>15} MACs", cost.params, cost.macs));
        }
        lines
            .push(format!("  deployed: {:.1} % of the dense original's parameters", 100.0 * share));
    }
    lines.join("\n")
}
