//! What a run shows and leaves behind while it trains: progress, records and checkpoints.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sd_bench::{EpochRecord, ExitAccuracy, SplitScore, append_line, run_folder, write_epochs_csv};
use tch::nn;

use crate::checkpoint::{self, Position, State};
use crate::config::Experiment;
use crate::objective::Term;
use crate::stop::Stop;
use crate::tensorboard::EventFile;
use crate::trace::StepRecord;
use crate::weights;

/// Watches a run.
#[derive(Debug)]
pub struct Observer {
    folder: PathBuf,
    stop: Stop,
    checkpoint_every: Duration,
    saved: Instant,
    bar: ProgressBar,
    /// Begun with the first epoch that is watched.
    events: Option<EventFile>,
}

impl Observer {
    /// An observer that writes into `folder` and wants a checkpoint at least as often as
    /// `checkpoint_every`.
    pub fn new(folder: &Path, stop: Stop, checkpoint_every: Duration) -> Self {
        let (saved, bar) = (Instant::now(), ProgressBar::hidden());
        let events = None;
        Self { folder: folder.to_owned(), stop, checkpoint_every, saved, bar, events }
    }

    /// The exit code if the run must stop after `steps` steps, see [`Stop::asked`].
    pub fn must_stop(&self, steps: u64) -> Option<u8> {
        self.stop.asked(steps)
    }

    /// Whether the last checkpoint is too old.
    pub fn wants_checkpoint(&self) -> bool {
        self.saved.elapsed() >= self.checkpoint_every
    }

    /// Shows a bar for the epoch, on a terminal.
    ///
    /// # Errors
    /// If TensorBoard's file cannot be begun.
    pub fn epoch_starts(&mut self, position: &Position, steps: usize) -> Result<()> {
        let target = if std::io::stderr().is_terminal() {
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
        if self.events.is_none() {
            let first = position.epoch * steps as u64 + position.step_in_epoch as u64 + 1;
            let folder = self.folder.join(run_folder::TENSORBOARD);
            self.events = Some(EventFile::create(&folder, first)?);
        }
        Ok(())
    }

    /// Shows the epoch's mean loss so far.
    pub fn shows(&self, loss: f64) {
        self.bar.set_message(format!("{loss:.3}"));
    }

    /// Takes note of the last of the steps that were looked at.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn looked(&mut self, steps: &[StepRecord]) -> Result<()> {
        match (steps.last(), &mut self.events) {
            (Some(step), Some(events)) => events.scalars(step.step, step_scalars(step)),
            _ => Ok(()),
        }
    }

    /// Counts a step.
    pub fn after_step(&self) {
        self.bar.inc(1);
    }

    /// Takes the bar away, so that what is said next has its line.
    pub fn steps_end(&self) {
        self.bar.finish_and_clear();
    }

    /// Records a finished epoch.
    ///
    /// # Errors
    /// If the record cannot be written.
    pub fn epoch_ends(&mut self, record: &EpochRecord, epochs: u64) -> Result<()> {
        append_line(self.folder.join(run_folder::EPOCHS), record)?;
        write_epochs_csv(&self.folder)?;
        if let Some(events) = &mut self.events {
            events.scalars(record.step, epoch_scalars(record))?;
        }
        let valid = match &record.valid {
            Some(scores) => format!("valid top-1: {}", accuracies(scores)),
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

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// If it cannot be written; the one before it stays.
    pub fn save(&mut self, position: &Position, state: &State) -> Result<()> {
        checkpoint::save(&self.folder, position, state)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// Keeps the weights of the best epoch so far.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn save_best(&self, vs: &nn::VarStore, experiment: &Experiment) -> Result<()> {
        weights::save(&self.folder.join(run_folder::BEST_MODEL), vs, experiment)
    }
}

/// The curves over single steps.
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

/// The curves over epochs.
fn epoch_scalars(epoch: &EpochRecord) -> Vec<(String, f64)> {
    let of = |(split, exit): (&'static str, &ExitAccuracy)| {
        let name = exit.name.clone();
        exit.numbers().map(|(what, value)| (format!("{split}/{what}_{name}"), value))
    };
    let mut all = vec![
        ("train/loss".to_owned(), epoch.loss),
        ("train/images_per_second".to_owned(), epoch.images_per_second),
    ];
    all.extend(epoch.scores().flat_map(of));
    all
}

/// Drops the records of epochs that the checkpoint does not have, so that none appears twice.
///
/// # Errors
/// If the file cannot be read or written.
pub fn keep_epochs(folder: &Path, epochs: u64) -> Result<()> {
    let path = folder.join(run_folder::EPOCHS);
    if !path.exists() {
        return Ok(());
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let kept: String = text.split_inclusive('\n').take(epochs as usize).collect();
    Ok(run_folder::write_atomic(&path, kept.as_bytes())?)
}

/// Top-1 of all exits and the ensemble by name, in percent.
pub fn accuracies(scores: &SplitScore) -> String {
    percents(scores.exits.iter().chain([&scores.ensemble]))
}

fn percents<'a>(exits: impl Iterator<Item = &'a ExitAccuracy>) -> String {
    let named = |exit: &ExitAccuracy| format!("{} {:.1}", exit.name, 100.0 * exit.top1);
    let exits: Vec<String> = exits.map(named).collect();
    format!("{} %", exits.join(", "))
}
