//! Two ratios: an epoch to its bare steps, and a self-distilled step to a plain one.
//!
//! Both are measured in alternating pairs, so that a machine that slows down affects both.

use anyhow::{Result, ensure};
use sd_cli::BenchArgs;
use sd_data::{DataConfig, DatasetConfig, SyntheticConfig};
use sd_report::{Measurement, process_memory};
use sd_train::experiment::Experiment;
use sd_train::training::{Observer, StopSignal, Trainer};

use super::step::Steps;
use super::{Label, Stopwatch, batches, timing};

/// Steps per epoch: a third of CIFAR-100's, so that the work done once per epoch weighs three times
/// as much.
const STEPS: usize = 128;
/// Minimum and maximum number of pairs.
const PAIRS: (f64, f64) = (3.0, 100.0);

/// Measures both ratios; the second if the experiment has exits.
///
/// # Errors
/// If the experiment has a trained teacher or cannot be trained.
pub fn measure(
    stopwatch: &Stopwatch,
    experiment: &Experiment,
    args: &BenchArgs,
) -> Result<Vec<Measurement>> {
    ensure!(
        experiment.objective.get().trained_teacher().is_none(),
        "objective: found a trained teacher, expected none: `bench overhead` trains on synthetic \
         images, which have other classes"
    );
    let folder = tempfile::tempdir()?;
    let mut observer = Observer::new(folder.path(), StopSignal::default());
    let mut measurements = Vec::new();
    for batch in batches(args, &[experiment.train.batch_size]) {
        measurements.extend(epoch(stopwatch, experiment, batch, args, &mut observer)?);
        if experiment.model.exits.is_some() {
            measurements.extend(distillation(stopwatch, experiment, batch)?);
        }
    }
    Ok(measurements)
}

/// Measures an epoch on synthetic images with everything except validation (loader, steps, metrics,
/// checkpoint), and as many steps on one batch.
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
    // It needs a validation split.
    experiment.train.early_stopping = None;
    let mut trainer = Trainer::new(&experiment, &args.runtime)?;
    let start = trainer.position.clone();
    let mut failed = None;
    let epoch = || {
        trainer.position = start.clone();
        if let Err(error) = trainer.run(observer) {
            failed.get_or_insert(error);
        }
    };
    let mut steps = Steps::new(&experiment, batch, stopwatch.device)?;
    let bare = || (0..STEPS).for_each(|_| steps.step(&mut ()));
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
    let mut distilled = Steps::new(experiment, batch, stopwatch.device)?;
    let mut plain = Steps::plain(experiment, batch, stopwatch.device)?;
    let label = |part| Label { config: &experiment.name, part, batch, images: batch };
    Ok(pair(
        stopwatch,
        [label("self_distilled"), label("plain")],
        || distilled.step(&mut ()),
        || plain.step(&mut ()),
    ))
}

/// Measures the two in turn, as often as the budget allows. The memory is that of both.
fn pair(
    stopwatch: &Stopwatch,
    [first, second]: [Label; 2],
    mut a: impl FnMut(),
    mut b: impl FnMut(),
) -> [Measurement; 2] {
    process_memory::reset_peak();
    let mut a = || {
        a();
        stopwatch.wait();
    };
    let mut b = || {
        b();
        stopwatch.wait();
    };
    let trial = timing::compare(&mut a, &mut b, 1);
    let seconds: f64 = trial.iter().map(|timing| timing.raw_seconds[0]).sum();
    let pairs = (stopwatch.budget.as_secs_f64() / seconds).clamp(PAIRS.0, PAIRS.1);
    let [a, b] = timing::compare(a, b, pairs as usize);
    [stopwatch.label(first, a), stopwatch.label(second, b)]
}

/// The same shapes, classes and augmentation on synthetic images.
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
        test: None,
        ..config.clone()
    }
}
