//! A run's network with the weights that it saved.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use sd_cli::WeightsChoice;
use sd_layers::Precision;
use sd_models::{MultiExit, prepare_for_inference, variables};
use sd_report::run_folder;
use tch::{Device, Tensor, nn};

use super::{TrainingData, weights};
use crate::experiment::Experiment;

/// A network with its weights, for inference, and the experiment that they come from.
#[derive(Debug)]
pub struct TrainedModel {
    /// The run's experiment, with the branches of the network's convolutions merged.
    pub experiment: Experiment,
    /// Its network.
    pub network: MultiExit,
    /// Its parameters and running statistics, by name.
    pub variables: BTreeMap<String, Tensor>,
    /// The data of its training, if the weights record it.
    pub data: Option<TrainingData>,
}

impl TrainedModel {
    /// Opens the run in this folder, in the precision of its training.
    ///
    /// # Errors
    /// If the folder is not a run, or the weights are missing or have another configuration.
    pub fn open(run: &Path, weights: WeightsChoice, device: Device) -> Result<Self> {
        let experiment = Experiment::read(&run.join(run_folder::CONFIG), &[], None)?;
        let precision = experiment.precision(device)?;
        Self::of(experiment, run, weights, device, precision)
    }

    /// Opens a run whose experiment is already parsed, in this precision.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of(
        experiment: Experiment,
        run: &Path,
        weights: WeightsChoice,
        device: Device,
        precision: Precision,
    ) -> Result<Self> {
        let path = run.join(weights::file(weights));
        ensure!(
            path.exists(),
            "{}: no such file; the last weights are written at the end of a run (an interrupted one \
             has {}, which `--weights checkpoint` reads), the best ones require a validation split \
             (data.validation)",
            path.display(),
            run_folder::LAST_CHECKPOINT
        );
        Self::built(experiment, &path, device, precision)
    }

    /// The network of `experiment` with the weights in the file `path`.
    fn built(
        experiment: Experiment,
        path: &Path,
        device: Device,
        precision: Precision,
    ) -> Result<Self> {
        let experiment = experiment.merged();
        let vs = nn::VarStore::new(device);
        let network =
            MultiExit::build(&vs.root(), &experiment.model, experiment.task(), precision)?;
        let data = weights::load(path, &vs, &experiment)?;
        prepare_for_inference(&vs, precision);
        Ok(Self { experiment, network, variables: variables(&vs), data })
    }

    /// Reads the network that a weights file records, in this precision.
    ///
    /// # Errors
    /// If the file cannot be read, or does not record its network.
    pub fn read(file: &Path, device: Device, precision: Precision) -> Result<Self> {
        Self::built(weights::recorded_experiment(file)?, file, device, precision)
    }

    /// The data of the training; for the run in this folder of an earlier version, see
    /// [`TrainingData::guess`].
    ///
    /// # Errors
    /// Those of [`TrainingData::guess`].
    pub fn training_data(&self, run: &Path, data_dir: &Path) -> Result<TrainingData> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None => TrainingData::guess(&self.experiment, run, data_dir),
        }
    }
}
