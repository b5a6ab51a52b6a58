//! A trained network that teaches the one in training.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use sd_layers::{FeatureShape, Precision};
use sd_models::{MultiExit, Task};
use tch::Device;

use super::pretrained::warn_of_other_normalization;
use crate::evaluation::{TrainedModel, TrainingData};
use crate::experiment::Experiment;

/// A trained network that teaches.
#[derive(Debug)]
pub struct TrainedTeacher {
    path: PathBuf,
    model: TrainedModel,
}

impl TrainedTeacher {
    /// Opens a teacher for the network of `experiment`: the folder of a run, whose last weights are
    /// used, or a weights file.
    ///
    /// # Errors
    /// If the file cannot be read, or the teacher has another input or another number of classes.
    pub fn open(
        path: &Path,
        experiment: &Experiment,
        precision: Precision,
        device: Device,
    ) -> Result<Self> {
        let model = TrainedModel::read(path, precision, device)?;
        let (found, expected) = (model.experiment.task(), experiment.task());
        let describe = |Task { input, classes }: Task| {
            let FeatureShape { channels, height, width } = input;
            format!("{classes} classes and images of shape [{channels}, {height}, {width}]")
        };
        ensure!(
            found == expected,
            "objective: the teacher {} has {}, expected {}",
            path.display(),
            describe(found),
            describe(expected)
        );
        Ok(Self { path: path.to_owned(), model })
    }

    /// The network.
    pub fn network(&self) -> &MultiExit {
        &self.model.network
    }

    /// Checks the teacher's data against those of the training, where its weights record them. Warns
    /// of another normalisation, and of other training images, which can be the validation images here.
    ///
    /// # Errors
    /// If its classes have other names or another order.
    pub fn check(&self, training: &TrainingData) -> Result<()> {
        let Self { path, model } = self;
        let Some(data) = &model.data else { return Ok(()) };
        let classes = data.classes.iter().zip(&training.classes);
        for (index, (found, expected)) in classes.enumerate() {
            ensure!(
                found == expected,
                "objective: class {index} of the teacher {} is `{found}`, expected `{expected}`",
                path.display()
            );
        }
        warn_of_other_normalization(path, &data.normalization(), &training.normalization());
        if let (Some(theirs), Some(ours)) = (data.images, training.images)
            && theirs.train != ours.train
        {
            tracing::warn!(
                "the teacher {} was trained on other images ({}, here {}): validation accuracy is too \
                 high if they include validation images",
                path.display(),
                theirs.train,
                ours.train
            );
        }
        Ok(())
    }
}
