//! The images that a network was trained with, as its weights record them.

use std::path::Path;

use anyhow::{Result, ensure};
use sd_data::{Data, Normalization};
use sd_onnx::{Input, Layout, Resize};
use sd_report::run_folder;
use serde::{Deserialize, Serialize};

use crate::experiment::Experiment;
use crate::experiment::fingerprint::Fingerprint;

/// What a network's predictions depend on beside its weights, and which images it was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingData {
    /// Class names, in the order of the logits.
    pub classes: Vec<String>,
    /// Input of the network, and how an image is converted to it.
    pub input: Input,
    /// Fingerprints of the splits; `None` if the run did not record them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Fingerprint>,
}

impl TrainingData {
    /// Describes the data of a training.
    pub fn new(experiment: &Experiment, data: &Data, images: Fingerprint) -> Self {
        Self {
            classes: data.train.class_names().to_vec(),
            input: input(experiment, data.normalization.clone()),
            images: Some(images),
        }
    }

    /// The data of a run whose weights do not record it: class names and normalisation are those of
    /// its evaluation, or of the data set as it is now.
    ///
    /// # Errors
    /// If the evaluation contradicts the experiment, or the data set cannot be opened.
    pub fn guess(experiment: &Experiment, run: &Path, data_dir: &Path) -> Result<Self> {
        let path = run.join(run_folder::EVALUATION);
        let (classes, normalization) = match run_folder::read_evaluation(&path)? {
            Some(found) => {
                let normalization = Normalization { mean: found.mean, deviation: found.deviation };
                (found.classes, normalization)
            }
            None => {
                let data = experiment.open_data(data_dir)?;
                (data.train.class_names().to_vec(), data.normalization)
            }
        };
        let data = Self { classes, input: input(experiment, normalization), images: None };
        data.check(experiment, &path)?;
        tracing::warn!(
            "{}: the weights do not record the data of their training; class names and \
             normalisation are those of {}",
            run.display(),
            if path.exists() { run_folder::EVALUATION } else { "the data set as it is now" }
        );
        Ok(data)
    }

    /// Checks that it can be the data of `experiment`; `path` is for messages.
    pub(super) fn check(&self, experiment: &Experiment, path: &Path) -> Result<()> {
        let (shape, classes) = experiment.data.input();
        let Input { mean, deviation, .. } = &self.input;
        for (key, found, expected) in [
            ("classes", self.classes.len(), classes),
            ("mean", mean.len(), shape.channels),
            ("deviation", deviation.len(), shape.channels),
        ] {
            ensure!(
                found == expected,
                "{}: {key} has {found} entries, expected {expected}, as {} says",
                path.display(),
                run_folder::CONFIG
            );
        }
        let normalization = self.normalization();
        ensure!(
            input(experiment, normalization) == self.input,
            "{}: the input differs from that of {}",
            path.display(),
            run_folder::CONFIG
        );
        Ok(())
    }

    /// Normalisation of the training.
    pub fn normalization(&self) -> Normalization {
        let Input { mean, deviation, .. } = &self.input;
        Normalization { mean: mean.clone(), deviation: deviation.clone() }
    }
}

/// Input of an experiment's network.
fn input(experiment: &Experiment, normalization: Normalization) -> Input {
    let (shape, _) = experiment.data.input();
    Input {
        channels: shape.channels,
        height: shape.height,
        width: shape.width,
        border: experiment.data.pad,
        resize: match experiment.data.dataset.get().image_files() {
            Some(files) => Resize::ShorterSide { pixels: files.resized_side() },
            None => Resize::Triangle,
        },
        layout: Layout::Nchw,
        mean: normalization.mean,
        deviation: normalization.deviation,
    }
}
