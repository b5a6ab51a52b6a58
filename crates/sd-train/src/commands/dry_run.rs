//! `train --dry-run`: one step, its cost, and nothing written.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use sd_cli::{RuntimeArgs, print};
use sd_report::process_memory;
use tch::{Device, Tensor};

use super::count::{Count, count_experiment, table};
use super::logging;
use crate::data::device;
use crate::experiment::Experiment;
use crate::training::non_finite::NonFiniteValue;
use crate::training::{StepRecord, TrainedTeacher, Trainer};

/// Opens the images, takes one step and prints a description of the run.
///
/// # Errors
/// Every error that ends a run before its second step.
pub fn dry_run(experiment: &Experiment, runtime: &RuntimeArgs) -> Result<()> {
    logging::start(None)?;
    let mut trainer = Trainer::new(experiment, runtime)?;
    trainer.load_pretrained()?;
    let counted = count_experiment(experiment.name.clone(), experiment)?;
    process_memory::reset_peak();
    let before = process_memory::peak_bytes();
    let rate = trainer.learning_rate(0);
    let step = trainer.step(&mut trainer.batches(), rate, &mut ())?.read(&trainer.processes)?;
    let after_step = process_memory::peak_bytes();
    process_memory::reset_peak();
    evaluate_a_batch(&trainer)?;
    let peaks = Peaks { before, step: after_step, evaluation: process_memory::peak_bytes() };
    print(describe(&trainer, &counted, &step, peaks)?)?;
    if let Some(value) = NonFiniteValue::find(&step) {
        bail!("{value}");
    }
    Ok(())
}

/// Memory of the process in bytes: before the first step, and the peaks of the step and of the
/// evaluation of a batch.
#[derive(Debug, Clone, Copy)]
struct Peaks {
    before: Option<u64>,
    step: Option<u64>,
    evaluation: Option<u64>,
}

/// Evaluates the network on the first training images: other splits may be absent or smaller.
fn evaluate_a_batch(trainer: &Trainer) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    let images = trainer.evaluation(&trainer.data.train)?;
    let (outputs, _) =
        images.outputs(trainer.deployed().network).next().context("no training image")??;
    let _ = outputs.ensemble();
    Ok(())
}

fn describe(trainer: &Trainer, counted: &Count, step: &StepRecord, peaks: Peaks) -> Result<String> {
    let Trainer { experiment, data, .. } = trainer;
    let train = &experiment.train;
    let input = experiment.task().input;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<13}{value}").context("cannot format the description")
    };
    line("experiment", format!("{}, seed {}", experiment.name, experiment.seed))?;
    line("network", experiment.model.describe())?;
    line("objective", experiment.objective_in_words())?;
    let [validated, tested] =
        [&data.valid, &data.test].map(|split| split.as_ref().map_or(0, |images| images.len()));
    line(
        "images",
        format!(
            "{} training, {validated} validation, {tested} test; {} × {} × {}, {} classes",
            data.train.len(),
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
    let precision = format!("{:?}", trainer.state.precision).to_lowercase();
    let device = device::name(trainer.device);
    line("device", format!("{device}, {precision}, {} threads", trainer.threads))?;
    let terms: Vec<String> =
        step.terms.iter().map(|(term, mean)| format!("{} {mean:.4}", term.name())).collect();
    line(
        "first step",
        format!(
            "loss {:.4} ({}), gradient norm {:.4}, learning rate {:.6}",
            step.loss(),
            terms.join(", "),
            step.gradient_norm,
            step.rate
        ),
    )?;
    line("memory", memory(trainer, peaks))?;
    Ok(format!("{text}\n{}\n\nnothing was written", table(std::slice::from_ref(counted))))
}

/// Memory that the run keeps between steps, and peak memory of the first step and of an evaluation's
/// batch.
fn memory(trainer: &Trainer, peaks: Peaks) -> String {
    let bytes = |tensor: &Tensor| tensor.numel() as u64 * tensor.kind().elt_size_in_bytes() as u64;
    let parameters: u64 = trainer.state.variables.trainable_variables().iter().map(bytes).sum();
    let teacher: u64 =
        trainer.state.teacher.iter().flat_map(TrainedTeacher::tensors).map(bytes).sum();
    let kept = trainer.tensors().iter().map(bytes).sum::<u64>() + parameters + teacher;
    let step = match (peaks.before, peaks.step, peaks.evaluation) {
        (Some(before), Some(step), Some(evaluation)) if trainer.device == Device::Cpu => format!(
            "the first step took {}, peak of the process {}, of an evaluation {}",
            megabytes(step.saturating_sub(before)),
            megabytes(step),
            megabytes(evaluation)
        ),
        _ => "the memory of a step is measured on the CPU only (`--device cpu`)".to_owned(),
    };
    format!("weights, gradients and optimiser {}; {step}", megabytes(kept))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
