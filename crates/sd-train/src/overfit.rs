//! A check that a network can learn at all: a few images by heart.

use std::sync::Arc;

use anyhow::{Result, ensure};
use sd_data::Data;

use crate::config::Experiment;

/// The experiment on `images` training images alone, which stay as they are: neither augmented
/// nor mixed. Its name says so.
#[must_use]
pub fn experiment(mut experiment: Experiment, images: usize) -> Experiment {
    experiment.name = format!("{}-overfit{images}", experiment.name);
    experiment.data.augment = Vec::new();
    experiment.mix = None;
    experiment.train.overfit = Some(images);
    experiment.train.batch_size = experiment.train.batch_size.min(images);
    experiment
}

/// Leaves this many training images, spread evenly over all of them, in every split. The
/// normalisation is that of all training images.
///
/// # Errors
/// If there are fewer.
pub fn select(data: Data, images: usize) -> Result<Data> {
    let all = data.train.len();
    ensure!(
        (2..=all).contains(&images),
        "train.overfit is {images}, expected 2 to the {all} training images"
    );
    let spread: Vec<usize> = (0..images).map(|image| image * all / images).collect();
    let few = Arc::new(data.train.select(&spread));
    Ok(Data { train: Arc::clone(&few), valid: Some(Arc::clone(&few)), test: few, ..data })
}
