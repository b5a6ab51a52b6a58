//! The splits of a run, compared with those of its training.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use sd_data::ImageSet;

use super::TrainingData;
use crate::experiment::Experiment;
use crate::experiment::fingerprint::Fingerprint;

/// The splits of a run's data set, to be normalised as in its training.
#[derive(Debug)]
pub struct Splits {
    /// Training images.
    pub train: Arc<ImageSet>,
    /// Validation images, if there is such a split. Other images than in training are left out,
    /// because the network may have been trained on them.
    pub valid: Option<Arc<ImageSet>>,
    /// Test images, if there is such a split.
    pub test: Option<Arc<ImageSet>>,
    /// Whether the training split has other images than in training.
    pub train_differs: bool,
    /// Whether the validation or test split has other images than in training.
    pub differ: bool,
}

impl Splits {
    /// Opens the data set of `experiment`.
    ///
    /// # Errors
    /// If it cannot be opened, or its classes differ from those of the training, or its images do
    /// and `allow_other` is false.
    pub fn open(
        experiment: &Experiment,
        training: &TrainingData,
        data_dir: &Path,
        allow_other: bool,
    ) -> Result<Self> {
        let data = experiment.open_data(data_dir)?;
        let classes = data.train.class_names();
        ensure!(
            classes == training.classes,
            "the classes of the data set are {}, expected those of the training: {}",
            classes.join(", "),
            training.classes.join(", ")
        );
        let now = Fingerprint::from(&data);
        // The training images matter to no evaluation: the normalisation is recorded.
        let then = training.images.map(|then| Fingerprint { train: now.train, ..then });
        let difference = then.and_then(|then| then.difference(&now));
        let train_differs = training.images.is_some_and(|then| then.train != now.train);
        let valid_differs = then.is_some_and(|then| then.valid != now.valid);
        if let Some(difference) = &difference {
            if !allow_other {
                bail!(
                    "the images of the data set are not those of the training: {difference}; \
                     `eval --other-images` evaluates on them"
                );
            }
            tracing::warn!("evaluation on other images than those of the training: {difference}");
        }
        Ok(Self {
            train: data.train,
            valid: data.valid.filter(|_| !valid_differs),
            test: data.test,
            train_differs,
            differ: difference.is_some(),
        })
    }
}
