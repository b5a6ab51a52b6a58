//! Loader throughput: a shuffled epoch, from bytes in memory or files to batches.

use std::sync::Arc;

use anyhow::{Context, Result};
use rayon::ThreadPoolBuilder;
use sd_data::{Data, DataConfig, Loader, LoaderConfig, Order};
use sd_report::Measurement;

use super::{Label, Stopwatch, batches};
use sd_cli::BenchArgs;
use sd_train::experiment::Experiment;
use sd_train::training::PREFETCH;

/// Pipelines on synthetic images: name and `augment` in TOML.
const PIPELINES: [(&str, &str); 3] = [
    ("normalize", "[]"),
    ("crop_flip", "[{ pad_crop = { padding = 4 } }, { flip = {} }]"),
    (
        "auto_augment_erasing",
        "[{ pad_crop = { padding = 4 } }, { flip = {} }, \
         { auto_augment = { policy = 'cifar10' } }, { random_erasing = {} }]",
    ),
];
/// CIFAR-100's size, images and classes.
const SYNTHETIC: &str = "dataset = { synthetic = { classes = 100, train = 50000, test = 100, \
                         channels = 3, height = 32, width = 32, seed = 0 } }";
const BATCH: usize = 128;

/// The built-in pipelines by name, each on the same 50,000 images of 3×32×32.
///
/// # Errors
/// None: the pipelines are constants.
pub fn pipelines() -> Result<Vec<(&'static str, DataConfig)>> {
    let parse = |(name, augment)| {
        let config = toml::from_str(&format!("{SYNTHETIC}\naugment = {augment}"))
            .with_context(|| format!("the pipeline {name}"))?;
        Ok((name, config))
    };
    PIPELINES.into_iter().map(parse).collect()
}

/// Measures the built-in pipelines.
pub fn built_in(stopwatch: &Stopwatch, args: &BenchArgs) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for (name, config) in pipelines()? {
        let data = config.open(&args.runtime.data_dir)?;
        for batch in batches(args, &[BATCH]) {
            measurements.push(measure(stopwatch, name, &config, &data, batch, args)?);
        }
    }
    Ok(measurements)
}

/// Measures a configuration's own loader.
pub fn of_config(
    stopwatch: &Stopwatch,
    experiment: &Experiment,
    args: &BenchArgs,
) -> Result<Vec<Measurement>> {
    let data = experiment.data.open(&args.runtime.data_dir)?;
    let measure =
        |batch| measure(stopwatch, &experiment.name, &experiment.data, &data, batch, args);
    let mut measurements: Vec<Measurement> = batches(args, &[experiment.train.batch_size])
        .into_iter()
        .map(measure)
        .collect::<Result<_>>()?;
    measurements.extend(decode(stopwatch, experiment, &data, args)?);
    Ok(measurements)
}

/// Measures the decoder alone, if images are decoded: it bounds the loader.
fn decode(
    stopwatch: &Stopwatch,
    experiment: &Experiment,
    data: &Data,
    args: &BenchArgs,
) -> Result<Option<Measurement>> {
    if data.train.is_in_memory() {
        return Ok(None);
    }
    let pool = ThreadPoolBuilder::new().num_threads(args.runtime.threads()).build()?;
    let images = data.train.len();
    let label = Label { config: &experiment.name, part: "decode", batch: 1, images };
    Ok(Some(stopwatch.measure(label, || {
        pool.install(|| data.train.decode_all()).expect("readable images");
    })))
}

fn measure(
    stopwatch: &Stopwatch,
    name: &str,
    config: &DataConfig,
    data: &Data,
    batch_size: usize,
    args: &BenchArgs,
) -> Result<Measurement> {
    let loader = Loader::new(
        Arc::clone(&data.train),
        LoaderConfig {
            batch_size,
            threads: args.runtime.threads(),
            prefetch: PREFETCH,
            seed: 0,
            order: Order::Shuffled,
            drop_last: true,
            partners: false,
            augment: config.augment.clone(),
            normalization: data.normalization.clone(),
        },
    )?;
    let images = loader.images();
    let label = Label { config: name, part: "epoch", batch: batch_size, images };
    let mut epoch = 0;
    Ok(stopwatch.measure(label, || {
        epoch += 1;
        loader.epoch(epoch, 0).map(|batch| batch.expect("readable images").len()).sum::<usize>()
    }))
}
