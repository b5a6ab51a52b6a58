//! Overfitting a few images: a check that a network can learn.

use std::sync::Arc;

use anyhow::{Result, ensure};
use sd_data::Data;

/// Replaces every split by this many training images, spread evenly over all of them. The
/// normalisation stays that of all training images.
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
    let (valid, test) = (Some(Arc::clone(&few)), Some(Arc::clone(&few)));
    Ok(Data { train: few, valid, test, ..data })
}
