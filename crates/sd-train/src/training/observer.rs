//! The observer of a run: progress, metrics and checkpoints.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sd_distributed::Processes;
use sd_models::ExitOutputs;
use sd_report::{
    EpochRecord, Error, ExitAccuracy, Run, RunRecord, SplitScore, append_line, run_folder,
    write_epochs_csv, write_json_atomic, write_page,
};
use tch::nn;

use super::checkpoint::{self, CheckpointTensors, Position};
use super::non_finite::NonFiniteValue;
use super::step_stats::{StepRecord, StepStats};
use super::tensorboard::EventFile;
use super::{StepObserver, StopSignal};
use crate::data::TrainBatch;
use crate::evaluation::meter::Meter;
use crate::evaluation::{TrainingData, weights};
use crate::experiment::Experiment;
use crate::objective::Term;

/// Steps between two reads of losses and gradient norms, which wait for the device.
const READ_EVERY: u64 = 16;

/// Observes a run: metrics, times, progress, checkpoints, requests to stop.
#[derive(Debug)]
pub struct Observer {
    /// `None` in processes other than the first, which write nothing.
    folder: Option<PathBuf>,
    processes: Processes,
    stop: StopSignal,
    checkpoint_every: Duration,
    saved: Instant,
    bar: ProgressBar,
    /// Created with the first epoch.
    events: Option<EventFile>,
    /// Counts of the epoch.
    meter: Meter,
    /// Counts of the current step.
    step_meter: Meter,
    /// Steps whose numbers are still on the device.
    unread: Vec<StepStats>,
    clock: Instant,
    /// Training time of the epoch that is not in the position yet.
    elapsed: Duration,
}

/// What has to happen after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// The next step.
    Continue,
    /// A checkpoint: the last one is too old.
    Checkpoint,
    /// The end of the process, with this exit code, see [`StopSignal::exit_code`].
    Stop(u8),
}

impl StepObserver for Observer {
    fn batch_ends(&mut self, outputs: &ExitOutputs, batch: &TrainBatch) {
        self.step_meter.add(outputs, batch.targets.dominant());
    }
}

impl Observer {
    /// An observer that writes into `folder`, and a checkpoint after each epoch.
    pub fn new(folder: &Path, stop: StopSignal) -> Self {
        Self {
            folder: Some(folder.to_owned()),
            processes: Processes::single(),
            stop,
            checkpoint_every: Duration::MAX,
            saved: Instant::now(),
            bar: ProgressBar::hidden(),
            events: None,
            meter: Meter::default(),
            step_meter: Meter::default(),
            unread: Vec::new(),
            clock: Instant::now(),
            elapsed: Duration::ZERO,
        }
    }

    /// The same observer, which also writes a checkpoint at least this often.
    #[must_use]
    pub fn checkpoint_every(self, interval: Duration) -> Self {
        Self { checkpoint_every: interval, ..self }
    }

    /// The same observer of one of several processes. The first alone writes files and shows progress.
    #[must_use]
    pub fn in_processes(self, processes: &Processes) -> Self {
        let folder = self.folder.filter(|_| processes.is_first());
        Self { folder, processes: processes.clone(), ..self }
    }

    /// What has to happen after `steps` steps, the same in all processes.
    ///
    /// # Errors
    /// If another process is gone.
    pub fn request(&self, steps: u64) -> Result<Request> {
        let is_old = || self.folder.is_some() && self.saved.elapsed() >= self.checkpoint_every;
        let own = match self.stop.exit_code(steps) {
            Some(code) => code,
            None => u8::from(is_old()),
        };
        Ok(match self.processes.largest(own)? {
            0 => Request::Continue,
            1 => Request::Checkpoint,
            code => Request::Stop(code),
        })
    }

    /// Starts an epoch of `steps` steps at `position`, and shows its progress on a terminal.
    ///
    /// # Errors
    /// If the TensorBoard file cannot be created.
    pub fn epoch_starts(&mut self, position: &mut Position, steps: usize) -> Result<()> {
        self.meter = Meter::from(std::mem::take(&mut position.counts));
        self.clock = Instant::now();
        let target = if self.folder.is_some() && std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template(
            "epoch {prefix} {bar:30} {pos}/{len} steps, {eta} left, loss {msg}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar = ProgressBar::with_draw_target(Some(steps as u64), target)
            .with_style(style)
            .with_prefix((position.epoch + 1).to_string())
            .with_position(position.step_in_epoch as u64);
        if let (Some(folder), None) = (&self.folder, &self.events) {
            let first = position.epoch * steps as u64 + position.step_in_epoch as u64 + 1;
            let folder = folder.join(run_folder::TENSORBOARD);
            self.events = Some(EventFile::create(&folder, first)?);
        }
        Ok(())
    }

    /// Counts and times a step.
    ///
    /// # Errors
    /// If a number of this step or of the unread ones is not finite, or a metric cannot be written.
    pub fn step_ends(&mut self, stats: StepStats) -> Result<()> {
        let step = stats.step;
        let step_meter = std::mem::take(&mut self.step_meter);
        if !stats.skipped {
            self.meter.merge(step_meter, &stats.losses);
            self.unread.push(stats);
        }
        if (step - 1).is_multiple_of(READ_EVERY) {
            self.read_steps()?;
            let loss: f64 = self.meter.read_over(&self.processes)?.terms().values().sum();
            self.bar.set_message(format!("{loss:.3}"));
        }
        self.elapsed += self.clock.elapsed();
        self.bar.inc(1);
        self.clock = Instant::now();
        Ok(())
    }

    /// Removes the progress bar.
    pub fn steps_end(&self) {
        self.bar.finish_and_clear();
    }

    /// Brings counts and time of `position` up to date; waits for the device.
    ///
    /// # Errors
    /// As [`step_ends`](Self::step_ends).
    pub fn update_position(&mut self, position: &mut Position) -> Result<()> {
        self.clock = Instant::now();
        self.read_steps()?;
        position.counts = self.meter.read_over(&self.processes)?.clone();
        self.elapsed += self.clock.elapsed();
        position.epoch_seconds += std::mem::take(&mut self.elapsed).as_secs_f64();
        Ok(())
    }

    /// Reads the numbers of the unread steps, checks that they are finite, and logs the last.
    fn read_steps(&mut self) -> Result<()> {
        let steps = StepStats::read_all(&std::mem::take(&mut self.unread), &self.processes)?;
        if let Some(value) = steps.iter().find_map(NonFiniteValue::find) {
            bail!("{value}: the last checkpoint is kept");
        }
        match (steps.last(), &mut self.events) {
            (Some(step), Some(events)) => events.scalars(step.step, step_scalars(step)),
            _ => Ok(()),
        }
    }

    /// Records a finished epoch.
    ///
    /// # Errors
    /// If the record cannot be written.
    pub fn epoch_ends(&mut self, record: &EpochRecord, epochs: u64) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        append_line(folder.join(run_folder::EPOCHS), record)?;
        write_epochs_csv(folder)?;
        if let Some(events) = &mut self.events {
            events.scalars(record.step, epoch_scalars(record))?;
        }
        let valid = match &record.valid {
            Some(scores) => format!("valid top-1: {}", format_accuracies(scores)),
            None => format!("train top-1: {}", percents(record.train.iter())),
        };
        tracing::info!(
            "epoch {}/{epochs}: loss {:.3}, {valid} ({:.0} images/s)",
            record.epoch,
            record.loss,
            record.images_per_second
        );
        Ok(())
    }

    /// Records the progress of a run that has not finished, and rewrites the report's page. If it
    /// fails, training goes on.
    pub fn report(&self, summary: RunRecord) {
        let Some(folder) = &self.folder else { return };
        let write = || {
            let run = Run::open_with(folder, summary)?;
            write_json_atomic(folder.join(run_folder::PROGRESS), &run.summary)?;
            write_page(&[run], folder)
        };
        match write() {
            // A trainer that is used as a library may record no configuration.
            Ok(_) | Err(Error::NotARun { .. }) => {}
            Err(error) => tracing::warn!("the report was not updated: {error}"),
        }
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// If it cannot be written; the previous one stays.
    pub fn save_checkpoint(
        &mut self,
        position: &Position,
        tensors: &CheckpointTensors,
    ) -> Result<()> {
        if let Some(folder) = &self.folder {
            checkpoint::save(folder, position, tensors)?;
        }
        self.saved = Instant::now();
        self.clock = self.saved;
        Ok(())
    }

    /// Saves the weights of the best epoch so far.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn save_best(
        &self,
        vs: &nn::VarStore,
        experiment: &Experiment,
        data: Option<&TrainingData>,
    ) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        weights::save(&folder.join(run_folder::BEST_MODEL), vs, experiment, data)
    }
}

/// TensorBoard scalars of a step.
fn step_scalars(step: &StepRecord) -> Vec<(String, f64)> {
    let mut all = vec![
        ("step/loss".to_owned(), step.loss()),
        ("step/learning_rate".to_owned(), step.rate),
        ("step/gradient_norm".to_owned(), step.gradient_norm),
    ];
    let term = |(term, mean): (&Term, &f64)| (format!("step/loss_{}", term.name()), *mean);
    all.extend(step.terms.iter().map(term));
    all
}

/// TensorBoard scalars of an epoch.
fn epoch_scalars(epoch: &EpochRecord) -> Vec<(String, f64)> {
    let of_exit = |(split, exit): (&'static str, &ExitAccuracy)| {
        let name = exit.name.clone();
        exit.numbers().map(|(metric, value)| (format!("{split}/{metric}_{name}"), value))
    };
    let mut all = vec![
        ("train/loss".to_owned(), epoch.loss),
        ("train/images_per_second".to_owned(), epoch.images_per_second),
    ];
    all.extend(epoch.scores().flat_map(of_exit));
    all
}

/// Removes the records of epochs after the checkpoint, so that none appears twice.
///
/// # Errors
/// If the file cannot be read or written.
pub fn truncate_epochs(folder: &Path, epochs: u64) -> Result<()> {
    let path = folder.join(run_folder::EPOCHS);
    if !path.exists() {
        return Ok(());
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let kept: String = text.split_inclusive('\n').take(epochs as usize).collect();
    Ok(run_folder::write_atomic(&path, kept.as_bytes())?)
}

/// Top-1 accuracy of all exits and the ensemble by name, in percent.
pub fn format_accuracies(scores: &SplitScore) -> String {
    percents(scores.exits.iter().chain([&scores.ensemble]))
}

fn percents<'a>(exits: impl Iterator<Item = &'a ExitAccuracy>) -> String {
    let named = |exit: &ExitAccuracy| format!("{} {:.1}", exit.name, 100.0 * exit.top1);
    let exits: Vec<String> = exits.map(named).collect();
    format!("{} %", exits.join(", "))
}
