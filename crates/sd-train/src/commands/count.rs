//! `count`: parameters and multiply-accumulates of configurations.

use std::path::PathBuf;

use anyhow::Result;
use sd_cli::{CountArgs, print};
use sd_layers::{Cost, Precision};
use sd_models::MultiExit;
use serde::Serialize;
use tch::{Device, nn};

use super::exit_kinds;
use crate::experiment::Experiment;
use crate::experiment::costs::NetworkCosts;

/// Counts the configurations and prints their costs.
///
/// # Errors
/// Names the file, key or value that is wrong.
pub fn count(args: &CountArgs) -> Result<()> {
    if args.exits {
        let times = args.times.as_deref().map(exit_kinds::read_times).transpose()?;
        let tables = |counts: &[_]| exit_kinds::tables(counts, times.as_ref());
        print_counts(args, exit_kinds::count, tables)
    } else {
        print_counts(args, count_experiment, table)
    }
}

/// Counts each configuration and prints all counts, as JSON or as text.
fn print_counts<C: Serialize>(
    args: &CountArgs,
    count: impl Fn(String, &Experiment) -> Result<C>,
    text: impl Fn(&[C]) -> String,
) -> Result<()> {
    let of_file = |path: &PathBuf| {
        count(path.display().to_string(), &Experiment::read(path, &args.set, None)?)
    };
    let counts = args.configs.iter().map(of_file).collect::<Result<Vec<_>>>()?;
    if args.json {
        print(serde_json::to_string_pretty(&counts)?)
    } else {
        print(text(&counts).trim_end())
    }
}

/// Costs of a configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Count {
    /// File of the configuration.
    pub config: String,
    /// Name of the experiment.
    pub model: String,
    /// Channels, height, width.
    pub input: [i64; 3],
    /// Network up to its deepest exit, without the others.
    pub deployed: Cost,
    /// Network with all exits.
    pub framework: Cost,
    /// Deployed network with dense convolutions.
    pub dense_original: Cost,
    /// Network that ends at each exit and has no other.
    pub exits: Vec<NamedCost>,
    /// Stem and stages, without exits.
    pub stages: Vec<NamedCost>,
}

/// A cost with a name.
#[derive(Debug, Clone, Serialize)]
pub struct NamedCost {
    /// Name of the part.
    pub name: String,
    /// Parameters.
    pub params: u64,
    /// Multiply-accumulates per image.
    pub macs: u64,
}

/// Counts the network of an experiment, read from the file `config`.
///
/// # Errors
/// If the network does not build.
pub fn count_experiment(config: String, experiment: &Experiment) -> Result<Count> {
    let task = experiment.task();
    let vs = nn::VarStore::new(Device::Cpu);
    let network = MultiExit::build(&vs.root(), &experiment.model, task, Precision::F32)?;
    let costs = NetworkCosts::of(&network, &experiment.model, task)?;
    let named =
        |(name, cost): (String, Cost)| NamedCost { name, params: cost.params, macs: cost.macs };
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

/// Formats costs for a terminal.
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
