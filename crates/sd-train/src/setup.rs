//! What a run needs before its first step: images, a network, and a trainer of both.

use std::sync::Arc;

use anyhow::{Result, ensure};
use sd_data::{Data, ImageSet, Loader, LoaderConfig, Order};
use sd_layers::Precision;
use sd_models::{MultiExit, variables};
use tch::{Device, nn};

use crate::cli::Place;
use crate::config::Experiment;
use crate::count::NetworkCosts;
use crate::device;
use crate::evaluate::Evaluation;
use crate::objective::Needs;
use crate::optim::Optimiser;
use crate::train::Trainer;
use crate::twin::Twin;

/// Batches that wait ready for the next steps.
pub(crate) const PREFETCH: usize = 4;

/// An experiment's images and its network, with its random initialisation.
#[derive(Debug)]
pub struct Setup<'a> {
    /// What was written.
    pub experiment: &'a Experiment,
    /// The images.
    pub data: Data,
    /// The network's variables.
    pub variables: nn::VarStore,
    /// The network.
    pub network: MultiExit,
    /// What it costs.
    pub costs: NetworkCosts,
    /// Where it computes.
    pub device: Device,
    /// In which number format.
    pub precision: Precision,
    /// Threads for computing and, apart from them, for loading images.
    pub threads: usize,
}

impl<'a> Setup<'a> {
    /// Opens the images and builds the network.
    ///
    /// # Errors
    /// Names the file, key or value that is wrong.
    pub fn new(experiment: &'a Experiment, place: &Place) -> Result<Self> {
        let threads = place.threads();
        tch::set_num_threads(threads as i32);
        let device = device::resolve(place.device)?;
        let data = experiment.open_data(&place.data_dir)?;
        let precision = experiment.precision(device)?;
        tch::manual_seed(experiment.seed as i64);
        let (task, variables) = (experiment.task(), nn::VarStore::new(device));
        let network = MultiExit::build(&variables.root(), &experiment.model, task, precision)?;
        let costs = NetworkCosts::of(&network, &experiment.model, task)?;
        Ok(Self { experiment, data, variables, network, costs, device, precision, threads })
    }

    /// Takes over the weights that the experiment starts from, if it names some.
    ///
    /// # Errors
    /// If the file cannot be read, or is of another network.
    pub fn take_pretrained(&self) -> Result<()> {
        if let Some(pretrained) = &self.experiment.train.pretrained {
            let backbone = &self.experiment.model.backbone;
            let taken = pretrained.load(backbone, &variables(&self.variables))?;
            tracing::info!("{}: {taken}", pretrained.file.display());
        }
        Ok(())
    }

    /// The trainer of the network. What it keeps beside the network begins as a copy of it.
    ///
    /// # Errors
    /// Names the value that does not fit the images.
    pub fn trainer(&self) -> Result<Trainer<'_>> {
        let Self { experiment, data, variables, network, device, precision, threads, .. } = self;
        let train = &experiment.train;
        let needs = experiment.objective.get().needs();
        let config = LoaderConfig {
            batch_size: train.batch_size,
            threads: *threads,
            prefetch: PREFETCH,
            seed: experiment.seed,
            order: Order::Shuffled,
            drop_last: true,
            partners: needs == Needs::Partners,
            augment: experiment.data.augment.clone(),
            normalization: data.normalization.clone(),
        };
        let valid = data.valid.as_ref().map(|images| self.evaluation(images)).transpose()?;
        ensure!(
            train.early_stopping.is_none() || valid.is_some(),
            "train.early_stopping needs images to validate on: `data.validation`"
        );
        let loader = Loader::new(Arc::clone(&data.train), config)?;
        ensure!(
            train.accumulate <= loader.batches(),
            "train.accumulate is {}, expected at most the {} batches of an epoch",
            train.accumulate,
            loader.batches()
        );
        let twin = || Twin::new(&experiment.model, experiment.task(), *precision, variables);
        Ok(Trainer {
            experiment,
            network,
            variables,
            optimiser: Optimiser::new(variables, &train.optimiser()?),
            average: train.ema.is_some().then(twin).transpose()?,
            previous: (needs == Needs::Previous).then(twin).transpose()?,
            loader,
            valid,
            device: *device,
        })
    }

    /// An evaluation on these images of the experiment.
    ///
    /// # Errors
    /// The loader's.
    pub fn evaluation(&self, images: &Arc<ImageSet>) -> Result<Evaluation> {
        let normalization = self.data.normalization.clone();
        Evaluation::new(Arc::clone(images), normalization, self.threads, self.device)
    }
}
