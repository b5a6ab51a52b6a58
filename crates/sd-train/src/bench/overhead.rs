//! Two ratios: a whole epoch over its bare steps, and a self-distilled step over a plain one.
//!
//! Both are measured in pairs that take turns, so that a machine that slows down does so for both.

use std::time::Duration;

use anyhow::Result;
use sd_bench::{Measurement, timing};
use sd_data::{DataConfig, DatasetConfig, SyntheticConfig};

use super::step::Steps;
use super::{Label, Stopwatch, batches};
use crate::checkpoint::Position;
use crate::cli::BenchArgs;
use crate::config::Experiment;
use crate::fingerprint::Fingerprint;
use crate::observe::Observer;
use crate::setup::Setup;
use crate::stop::Stop;

/// Steps of an epoch: a third of CIFAR-100's, so that what an epoch does once weighs three times as
/// much as there.
const STEPS: usize = 128;
/// Pairs at least and at most.
const PAIRS: (f64, f64) = (3.0, 100.0);

/// Measures both, the second where the experiment has exits.
pub fn measure(
    stopwatch: &Stopwatch,
    experiment: &Experiment,
    args: &BenchArgs,
) -> Result<Vec<Measurement>> {
    let folder = tempfile::tempdir()?;
    let mut observer = Observer::new(folder.path(), Stop::default(), Duration::MAX);
    let mut measurements = Vec::new();
    for batch in batches(args, &[experiment.train.batch_size]) {
        measurements.extend(epoch(stopwatch, experiment, batch, args, &mut observer)?);
        if experiment.model.exits.is_some() {
            measurements.extend(distillation(stopwatch, experiment, batch)?);
        }
    }
    Ok(measurements)
}

/// One epoch on images made from a seed, all that a run does for it except for validation: loader,
/// steps, meter, checkpoint. Then as many steps on one batch.
fn epoch(
    stopwatch: &Stopwatch,
    experiment: &Experiment,
    batch: usize,
    args: &BenchArgs,
    observer: &mut Observer,
) -> Result<[Measurement; 2]> {
    let mut experiment = experiment.clone();
    experiment.data = synthetic(&experiment.data, batch * STEPS);
    experiment.train.batch_size = batch;
    experiment.train.epochs = 1;
    let setup = Setup::new(&experiment, &args.place)?;
    let mut trainer = setup.trainer()?;
    let config = experiment.to_toml()?;
    let images = Fingerprint::from(&setup.data);
    let mut failed = None;
    let epoch = || {
        let mut position = Position::start(config.clone(), images);
        if let Err(error) = trainer.run(&mut position, observer) {
            failed.get_or_insert(error);
        }
    };
    let mut steps = Steps::new(&experiment, &experiment.model, batch, stopwatch.device)?;
    let bare = || (0..STEPS).for_each(|_| steps.step(|_| {}));
    let label = |part| Label { config: &experiment.name, part, batch, images: batch * STEPS };
    let pair = pair(stopwatch, [label("epoch"), label("steps")], epoch, bare);
    failed.map_or(Ok(pair), Err)
}

/// A step of the experiment, and one of the same backbone without exits on the labels alone.
fn distillation(
    stopwatch: &Stopwatch,
    experiment: &Experiment,
    batch: usize,
) -> Result<[Measurement; 2]> {
    let mut distilled = Steps::new(experiment, &experiment.model, batch, stopwatch.device)?;
    let mut plain = Steps::plain(experiment, batch, stopwatch.device)?;
    let label = |part| Label { config: &experiment.name, part, batch, images: batch };
    Ok(pair(
        stopwatch,
        [label("self_distilled"), label("plain")],
        || distilled.step(|_| {}),
        || plain.step(|_| {}),
    ))
}

/// Runs the two in turn, as often as the budget allows. The memory is that of both.
fn pair(
    stopwatch: &Stopwatch,
    [first, second]: [Label; 2],
    mut a: impl FnMut(),
    mut b: impl FnMut(),
) -> [Measurement; 2] {
    timing::reset_peak_memory();
    let mut a = || {
        a();
        stopwatch.wait();
    };
    let mut b = || {
        b();
        stopwatch.wait();
    };
    let trial = timing::compare(&mut a, &mut b, 1);
    let seconds = trial.a.raw_seconds[0] + trial.b.raw_seconds[0];
    let pairs = (stopwatch.budget.as_secs_f64() / seconds).clamp(PAIRS.0, PAIRS.1);
    let times = timing::compare(a, b, pairs as usize);
    [stopwatch.label(first, times.a), stopwatch.label(second, times.b)]
}

/// The same shapes, classes and augmentation, on images made from a seed.
fn synthetic(config: &DataConfig, images: usize) -> DataConfig {
    let (shape, classes) = config.dataset.get().input();
    DataConfig {
        dataset: DatasetConfig::Synthetic(SyntheticConfig {
            classes,
            train: images,
            test: classes,
            channels: shape.channels,
            height: shape.height,
            width: shape.width,
            seed: 0,
        }),
        validation: None,
        ..config.clone()
    }
}
