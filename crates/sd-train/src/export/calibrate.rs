//! The ranges of `export --int8`: those that the run records, or measured on images.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use sd_cli::{Calibration, ExportArgs, WeightsChoice};
use sd_data::{ImageSet, Loader, LoaderConfig, Order};
use sd_infer::{Batch, Options, input, prepare};
use sd_layers::Precision;
use sd_onnx::Input;
use sd_onnx::quantize::{Range, Ranges};
use sd_report::{CALIBRATION_VERSION, CalibrationRecord, run_folder};
use tch::Device;

use super::description::{Describe, sha256};
use super::measure::Measurement;
use crate::data::batch::channels_first;
use crate::evaluation::{Splits, TrainedModel, TrainingData, weights};
use crate::experiment::Experiment;

/// The ranges for an export. Measured on training images, and not on a number that was asked for,
/// they are recorded in a run that records none.
///
/// # Errors
/// If an image cannot be read, or the run records no ranges and the data set is not that of the
/// training.
pub fn ranges(args: &ExportArgs, describe: &Describe) -> Result<Ranges> {
    let path = weights::calibration_file(args.weights).map(|file| args.run.join(file));
    let weights_sha256 = sha256_of(&args.run.join(weights::file(args.weights)))?;
    let anew = args.calibrate.is_some() || args.calibration_images.is_some();
    let recorded = match &path {
        Some(path) if !anew => run_folder::read_calibration(path)?,
        _ => None,
    };
    let record = match recorded {
        Some(record) if record.weights_sha256 == weights_sha256 => record,
        other => {
            if let (Some(_), Some(path)) = (&other, &path) {
                tracing::warn!("{}: the ranges are those of other weights", path.display());
            }
            let measurement = Measurement::new(describe)?;
            let images = match args.calibration_images {
                Some(images) => images as usize,
                None => measurement.images()?,
            };
            let threads = Options::default().threads;
            let data = describe.data;
            let (images, feature_maps) = match &args.calibrate {
                Some(folder) => {
                    let files = input::list(std::slice::from_ref(folder))?;
                    let files = &files[..files.len().min(images)];
                    let batch = even_batch(files.len(), measurement.batch);
                    let batches = files.chunks(batch).map(|files| read(files, data));
                    measurement.run(batches, threads)?
                }
                None => {
                    let train = training_images(args, describe)?;
                    let batches = training_batches(train, images, measurement.batch, data)?;
                    measurement.run(batches, threads)?
                }
            };
            let schema_version = CALIBRATION_VERSION;
            let record = CalibrationRecord { schema_version, weights_sha256, images, feature_maps };
            if let (false, None, Some(path)) = (anew, &other, &path) {
                run_folder::write_line_atomic(path, &record)?;
            }
            record
        }
    };
    let range = |(name, ranges): (String, sd_report::FeatureMapRanges)| {
        let [min, max] = match args.calibration {
            Calibration::Minmax => ranges.minmax,
            Calibration::Percentile => ranges.percentile,
        };
        (name, Range::new(min, max))
    };
    Ok(record.feature_maps.into_iter().map(range).collect())
}

/// Records the ranges, on training images, of a run's weights: one choice, or several with the same
/// tensors.
///
/// # Errors
/// If the weights cannot be read, the network cannot be exported, or the file cannot be written.
pub fn record(
    experiment: &Experiment,
    run: &Path,
    choices: &[WeightsChoice],
    train: &Arc<ImageSet>,
    threads: usize,
) -> Result<()> {
    let (experiment, device) = (experiment.clone(), Device::Cpu);
    let trained = TrainedModel::of(experiment, run, choices[0], device, Precision::F32)?;
    let TrainedModel { experiment, network, data, .. } = &trained;
    let data = data.as_ref().context("the weights do not record the data of their training")?;
    let describe = Describe { experiment, network, data, temperatures: &[] };
    let measurement = Measurement::new(&describe)?;
    let images = measurement.images()?;
    let batches = training_batches(Arc::clone(train), images, measurement.batch, data)?;
    let (images, feature_maps) = measurement.run(batches, threads)?;
    for &weights in choices {
        let Some(file) = weights::calibration_file(weights) else { continue };
        let weights_sha256 = sha256_of(&run.join(weights::file(weights)))?;
        let (schema_version, feature_maps) = (CALIBRATION_VERSION, feature_maps.clone());
        let record = CalibrationRecord { schema_version, weights_sha256, images, feature_maps };
        run_folder::write_line_atomic(run.join(file), &record)?;
    }
    Ok(())
}

/// The training images of a run, if they are still those of its training.
fn training_images(args: &ExportArgs, describe: &Describe) -> Result<Arc<ImageSet>> {
    let splits = Splits::open(describe.experiment, describe.data, &args.data_dir);
    splits.and_then(|splits| splits.trained_on()).context(
        "--int8 measures ranges on the training images unless the run records them; \
         `--calibrate FOLDER` takes others",
    )
}

/// A batch of image files.
fn read(files: &[PathBuf], data: &TrainingData) -> Result<Batch> {
    let Input { channels, height, width, .. } = data.input;
    let mut values = Vec::new();
    for file in files {
        values.extend(prepare(&input::read(file)?, &data.input));
    }
    let shape = vec![files.len(), channels, height, width];
    Ok(Batch::new(shape, values).expect("prepared images have the input's size"))
}

/// The largest size of at most `most` that divides `count` images into batches of nearly the same
/// size, which then weigh the same in a mean over the batches.
fn even_batch(count: usize, most: usize) -> usize {
    let batches = count.div_ceil(most).max(1);
    count.div_ceil(batches).max(1)
}

/// Batches of `count` training images without augmentation, or of all if there are fewer, rounded
/// down to whole batches, in a shuffled order, which is always the same.
fn training_batches(
    images: Arc<ImageSet>,
    count: usize,
    batch: usize,
    data: &TrainingData,
) -> Result<impl Iterator<Item = Result<Batch>>> {
    let batch = batch.min(count).min(images.len());
    let config = LoaderConfig {
        order: Order::Shuffled,
        drop_last: true,
        ..LoaderConfig::in_order(batch, 1, data.normalization())
    };
    let epoch = Loader::new(images, config)?.epoch(0, 0);
    Ok(epoch.take(count / batch).map(|batch| Ok(channels_first(&batch?))))
}

/// SHA-256 of a file.
fn sha256_of(path: &Path) -> Result<String> {
    Ok(sha256(fs::read(path).with_context(|| path.display().to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_nearly_equal() {
        let sizes = |count: usize| {
            let files = vec![(); count];
            files.chunks(even_batch(count, 64)).map(<[()]>::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(64), [64]);
        assert_eq!(sizes(65), [33, 32]);
        assert_eq!(sizes(129), [43, 43, 43]);
        assert!(sizes(0).is_empty());
    }
}
