//! A trained network that teaches the one in training.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use sd_cli::WeightsChoice;
use sd_data::{GivenNormalization, Normalization, NormalizeConfig};
use sd_layers::{FeatureShape, Precision};
use sd_models::{MultiExit, Task};
use sd_report::run_folder;
use tch::Device;

use super::pretrained::warn_of_other_normalization;
use crate::evaluation::{TrainedModel, TrainingData};
use crate::experiment::Experiment;
use crate::objective::TeacherConfig;

/// Key in errors.
const KEY: &str = "objective: teacher";

/// A trained network that teaches.
#[derive(Debug)]
pub struct TrainedTeacher {
    /// Its weights file.
    file: PathBuf,
    /// CRC-32C of that file.
    checksum: u32,
    model: TrainedModel,
}

impl TrainedTeacher {
    /// Opens a teacher for the network of `experiment`.
    ///
    /// # Errors
    /// If the file cannot be read, or the teacher has another input or another number of classes.
    pub fn open(
        config: &TeacherConfig,
        experiment: &Experiment,
        precision: Precision,
        device: Device,
    ) -> Result<Self> {
        let model = match config {
            TeacherConfig::Run(run) => Experiment::read(&run.join(run_folder::CONFIG), &[], None)
                .and_then(|theirs| {
                    TrainedModel::of(theirs, run, WeightsChoice::Last, device, precision)
                }),
            TeacherConfig::Weights(file) => TrainedModel::read(file, device, precision),
        };
        let (model, file) = (model.context(KEY)?, config.file());
        let (found, expected) = (model.experiment.task(), experiment.task());
        let describe = |Task { input, classes }: Task| {
            let FeatureShape { channels, height, width } = input;
            format!("{classes} classes and images of shape [{channels}, {height}, {width}]")
        };
        ensure!(
            found == expected,
            "{KEY}: {} has {}, expected {}",
            file.display(),
            describe(found),
            describe(expected)
        );
        let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
        Ok(Self { file, checksum: crc32c::crc32c(&bytes), model })
    }

    /// The network.
    pub fn network(&self) -> &MultiExit {
        &self.model.network
    }

    /// CRC-32C of its weights file.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Its tensors.
    pub fn tensors(&self) -> impl Iterator<Item = &tch::Tensor> {
        self.model.variables.values()
    }

    /// Logs the teacher, and checks its data against those of the training. Warns of another
    /// normalisation, of other training images, which can be the validation images here, and of
    /// weights that record neither.
    ///
    /// # Errors
    /// If its classes have other names or another order.
    pub fn check(&self, training: &TrainingData) -> Result<()> {
        let file = self.file.display();
        tracing::info!("teacher {file}, checksum {:08x}", self.checksum);
        let Some(data) = &self.model.data else {
            match &self.model.experiment.data.normalize {
                NormalizeConfig::Given(GivenNormalization { mean, deviation }) => {
                    let theirs = Normalization { mean: mean.clone(), deviation: deviation.clone() };
                    warn_of_other_normalization(&self.file, &theirs, &training.normalization());
                }
                NormalizeConfig::Measured => {
                    tracing::warn!("{file} does not record the normalisation of its images")
                }
            }
            tracing::warn!("{file} does not record its classes: they must have the same order");
            return Ok(());
        };
        for (index, (found, expected)) in data.classes.iter().zip(&training.classes).enumerate() {
            ensure!(
                found == expected,
                "{KEY}: class {index} of {file} is `{found}`, expected `{expected}`"
            );
        }
        warn_of_other_normalization(&self.file, &data.normalization(), &training.normalization());
        if let (Some(theirs), Some(ours)) = (data.images, training.images)
            && theirs.train != ours.train
        {
            tracing::warn!(
                "{file} was trained on other images ({}, here {}): validation accuracy is too high if \
                 they include validation images",
                theirs.train,
                ours.train
            );
        }
        Ok(())
    }
}
