//! Metadata of exported files.

use anyhow::Result;
use sd_models::MultiExit;
use sd_onnx::{Exit, METADATA_VERSION, Metadata};
use sd_report::evaluation::ExitPolicy;
use sha2::{Digest, Sha256};

use crate::evaluation::TrainingData;
use crate::experiment::Experiment;

/// Source of the metadata.
#[derive(Debug, Clone, Copy)]
pub struct Describe<'a> {
    /// Experiment of the run.
    pub experiment: &'a Experiment,
    /// Its network.
    pub network: &'a MultiExit,
    /// The data of its training.
    pub data: &'a TrainingData,
    /// Temperatures of the exits, shallow first, and last of the ensemble; 1 where there is none.
    pub temperatures: &'a [f32],
}

impl Describe<'_> {
    /// Metadata of the network that ends at this exit.
    pub fn exit(&self, exit: usize) -> Result<Metadata> {
        let cost = self.network.cost_of_exits()?[exit];
        let name = self.network.exit_names().swap_remove(exit);
        let (params, macs) = (cost.params, cost.macs);
        let temperature = self.temperature(exit);
        let only = Exit { name, params, macs, temperature, threshold: None };
        self.with(vec![only], false)
    }

    /// Metadata of the network with all exits. The multiply-accumulates of an exit include the exits
    /// before it. `policy` has a threshold for each shallow exit, or none.
    pub fn exits(&self, policy: &ExitPolicy) -> Result<Metadata> {
        let alone = self.network.cost_of_exits()?;
        let names = self.network.exit_names().into_iter();
        let costs = alone.iter().zip(self.network.cost_of_cascade()?);
        let exits: Vec<Exit> = names
            .zip(costs)
            .enumerate()
            .map(|(index, (name, (alone, cascade)))| Exit {
                name,
                params: alone.params,
                macs: cascade.macs,
                temperature: policy.temperatures.get(index).copied().unwrap_or(1.0),
                threshold: policy.thresholds.get(index).copied().flatten(),
            })
            .collect();
        let several = exits.len() > 1;
        Ok(Metadata { carry: policy.carry, ..self.with(exits, several)? })
    }

    fn temperature(&self, exit: usize) -> f32 {
        self.temperatures.get(exit).copied().unwrap_or(1.0)
    }

    fn with(&self, exits: Vec<Exit>, ensemble: bool) -> Result<Metadata> {
        let configuration = self.experiment.to_toml()?;
        let deployed = self.network.cost_of_exits()?;
        Ok(Metadata {
            metadata_version: METADATA_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.experiment.name.clone(),
            input: self.data.input.clone(),
            classes: self.data.classes.clone(),
            exits,
            ensemble,
            ensemble_temperature: if ensemble { self.temperature(deployed.len()) } else { 1.0 },
            carry: 0.0,
            deployed_macs: deployed.last().map_or(0, |cost| cost.macs),
            segment: None,
            int8: None,
            configuration_sha256: sha256(&configuration),
            configuration,
        })
    }
}

/// SHA-256 in lower-case hexadecimal.
pub(super) fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
