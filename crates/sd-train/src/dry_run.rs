//! A run without its training: one step, what it costs, and nothing written.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use sd_bench::timing;
use tch::{Device, Tensor};

use crate::checkpoint::Position;
use crate::cli::Place;
use crate::config::Experiment;
use crate::count::{Count, table};
use crate::fingerprint::Fingerprint;
use crate::logging;
use crate::non_finite::Broken;
use crate::output::print;
use crate::setup::Setup;
use crate::trace::StepRecord;
use crate::train::Trainer;
use crate::{count, device};

/// Resolves the experiment, opens its images, takes one step and prints what a run would be.
///
/// # Errors
/// Those that a run would end with before its second step.
pub fn dry_run(experiment: &Experiment, place: &Place) -> Result<()> {
    logging::start(None)?;
    let setup = Setup::new(experiment, place)?;
    setup.take_pretrained()?;
    let trainer = setup.trainer()?;
    let counted = count::count(experiment.name.clone(), experiment)?;
    timing::reset_peak_memory();
    let before = timing::peak_memory_bytes();
    let step = first_step(&trainer)?;
    print(describe(&setup, &trainer, &counted, &step, before)?)?;
    if let Some(broken) = Broken::in_step(&step) {
        bail!("{broken}");
    }
    Ok(())
}

/// Takes the run's first step.
fn first_step(trainer: &Trainer) -> Result<StepRecord> {
    let start = Position::start(String::new(), Fingerprint::default());
    let (_, trace) = trainer.learn(&start, trainer.rate(0), &mut trainer.loader.epoch(0, 0));
    trainer.update(&start, &trace);
    Ok(trace.look())
}

fn describe(
    setup: &Setup,
    trainer: &Trainer,
    counted: &Count,
    step: &StepRecord,
    before: Option<u64>,
) -> Result<String> {
    let Setup { experiment, data, .. } = setup;
    let train = &experiment.train;
    let input = experiment.task().input;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<13}{value}").context("a string takes any line")
    };
    line("experiment", format!("{}, seed {}", experiment.name, experiment.seed))?;
    line("network", experiment.model.describe())?;
    line("objective", experiment.objective_in_words())?;
    let validated = data.valid.as_ref().map_or(0, |images| images.len());
    line(
        "images",
        format!(
            "{} to train on, {validated} to validate on, {} to test on; {} × {} × {}, {} classes",
            data.train.len(),
            data.test.len(),
            input.channels,
            input.height,
            input.width,
            experiment.task().classes
        ),
    )?;
    let batches = if train.accumulate > 1 {
        format!("{} batches of {}", train.accumulate, train.batch_size)
    } else {
        train.batch_size.to_string()
    };
    line(
        "length",
        format!(
            "{} epochs of {} steps of {batches} images",
            train.epochs,
            trainer.steps_per_epoch()
        ),
    )?;
    let precision = format!("{:?}", setup.precision).to_lowercase();
    let device = device::name(setup.device);
    line("device", format!("{device}, {precision}, {} threads", setup.threads))?;
    let terms: Vec<String> =
        step.terms.iter().map(|(term, mean)| format!("{} {mean:.4}", term.name())).collect();
    line(
        "first step",
        format!(
            "loss {:.4} ({}), gradient's norm {:.4}, learning rate {:.6}",
            step.loss(),
            terms.join(", "),
            step.gradient_norm,
            step.rate
        ),
    )?;
    line("memory", memory(trainer, before))?;
    Ok(format!("{text}\n{}\n\nnothing was written", table(std::slice::from_ref(counted))))
}

/// Bytes that the run keeps from step to step, and what a step took on top of the `before` that
/// the process held.
fn memory(trainer: &Trainer, before: Option<u64>) -> String {
    let bytes = |tensor: &Tensor| tensor.numel() as u64 * tensor.kind().elt_size_in_bytes() as u64;
    let parameters: u64 = trainer.variables.trainable_variables().iter().map(bytes).sum();
    let kept = trainer.state().tensors().map(bytes).sum::<u64>() + parameters;
    let step = match (before, timing::peak_memory_bytes()) {
        (Some(before), Some(peak)) if trainer.device == Device::Cpu => format!(
            "the first step took {}, the process {} at its peak",
            megabytes(peak.saturating_sub(before)),
            megabytes(peak)
        ),
        _ => "a step is measured on the CPU alone (`--device cpu`)".to_owned(),
    };
    format!("weights, gradients and optimiser {}; {step}", megabytes(kept))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
