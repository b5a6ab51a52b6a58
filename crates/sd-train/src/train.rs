//! The training loop.

use std::time::Instant;

use anyhow::{Result, ensure};
use sd_bench::EpochRecord;
use sd_data::Loader;
use sd_models::{MultiExit, variables};
use tch::{Device, nn};

use crate::batch::Lesson;
use crate::checkpoint::{Best, Position, State};
use crate::config::Experiment;
use crate::evaluate::Evaluation;
use crate::meter::{Counts, Meter};
use crate::observe::Observer;
use crate::optim::Sgd;
use crate::previous::Previous;
use crate::step::Step;

/// All that a run trains with.
#[derive(Debug)]
pub struct Trainer<'a> {
    /// What runs.
    pub experiment: &'a Experiment,
    /// The network.
    pub network: &'a MultiExit,
    /// Its variables.
    pub variables: &'a nn::VarStore,
    /// Their optimiser.
    pub sgd: Sgd,
    /// The network of the epoch before, if the objective asks for it.
    pub previous: Option<Previous>,
    /// The training images.
    pub loader: Loader,
    /// The validation images, if there is such a split.
    pub valid: Option<Evaluation>,
    /// Where it computes.
    pub device: Device,
}

/// Steps between two looks at the loss. A look waits for the device.
const LOOK_EVERY: u64 = 16;

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All epochs are done.
    Finished,
    /// It was asked to stop with this exit code, and can go on.
    Interrupted(u8),
}

impl Trainer<'_> {
    /// Trains from `position` to the last epoch, or until the observer asks it to stop.
    ///
    /// # Errors
    /// A loss that is not finite, with the step and the learning rate; a file that cannot be
    /// written.
    pub fn run(&mut self, position: &mut Position, observer: &mut Observer) -> Result<Ended> {
        let epochs = self.experiment.train.epochs;
        let steps_per_epoch = self.loader.batches() as u64;
        while position.epoch < epochs {
            let mut started = Instant::now();
            observer.epoch_starts(position, self.loader.batches());
            let mut meter = Meter::from(std::mem::take(&mut position.counts));
            let mut last_step = (0, 0.0);
            for batch in self.loader.epoch(position.epoch, position.step_in_epoch) {
                let step = position.epoch * steps_per_epoch + position.step_in_epoch as u64;
                let rate = self.experiment.train.schedule.rate(step, steps_per_epoch, epochs);
                // Dropout draws from libtorch's one generator: a stream for each step.
                tch::manual_seed(
                    self.experiment.seed.wrapping_add(step.wrapping_mul(1 << 20)) as i64
                );

                let progress = (position.epoch + 1) as f64 / epochs as f64;
                let mut lesson = Lesson::new(&batch, progress, self.device);
                if let Some(mix) = &self.experiment.mix {
                    lesson = mix.apply(lesson, self.experiment.seed, step);
                }
                let (outputs, parts) = self.step(position).take(&mut lesson, rate, |_| {});

                meter.add(&outputs, lesson.targets.dominant());
                meter.add_loss(&parts, batch.len());
                position.step_in_epoch += 1;
                last_step = (step, rate);
                if step.is_multiple_of(LOOK_EVERY) {
                    observer.shows(check_finite(meter.read(), step, rate)?);
                }
                position.epoch_seconds += started.elapsed().as_secs_f64();
                observer.after_step();
                if observer.must_stop(step + 1).is_some() {
                    break;
                }
                if observer.wants_checkpoint() {
                    position.counts = meter.read().clone();
                    check_finite(&position.counts, step, rate)?;
                    observer.save(position, &self.state())?;
                }
                started = Instant::now();
            }
            observer.steps_end();
            position.counts = meter.read().clone();
            check_finite(&position.counts, last_step.0, last_step.1)?;
            if position.step_in_epoch == self.loader.batches() {
                self.finish_epoch(position, observer)?;
            }
            observer.save(position, &self.state())?;
            let steps = position.epoch * steps_per_epoch + position.step_in_epoch as u64;
            if let Some(code) = observer.must_stop(steps)
                && position.epoch < epochs
            {
                return Ok(Ended::Interrupted(code));
            }
        }
        Ok(Ended::Finished)
    }

    /// A step of the epoch that `position` is in.
    fn step(&self, position: &Position) -> Step<'_> {
        let previous = self.previous.as_ref().filter(|_| position.epoch > 0);
        Step {
            network: self.network,
            previous: previous.map(Previous::network),
            objective: &self.experiment.objective,
            sgd: &self.sgd,
        }
    }

    /// All tensors that a step changes or depends on, apart from its batch. They are the trainer's
    /// own: what is copied into them is its state.
    pub fn state(&self) -> State {
        State::default()
            .with("weights", variables(self.variables))
            .with("momentum", self.sgd.state())
            .with("previous", self.previous.as_ref().map(Previous::state).unwrap_or_default())
    }

    /// Evaluates on the validation split, keeps the best weights, and records the epoch.
    fn finish_epoch(&self, position: &mut Position, observer: &Observer) -> Result<()> {
        let train = &self.experiment.train;
        let names = self.network.exit_names();
        let valid = self.valid.as_ref().map(|split| split.run(self.network)).transpose()?;
        position.epoch += 1;
        if let Some(previous) = &self.previous {
            previous.remember(self.variables);
        }
        position.seconds += position.epoch_seconds;
        let steps_per_epoch = self.loader.batches() as u64;
        let step = position.epoch * steps_per_epoch;
        let terms = position.counts.terms();
        let record = EpochRecord {
            epoch: position.epoch,
            step,
            learning_rate: train.schedule.rate(step - 1, steps_per_epoch, train.epochs),
            seconds: position.epoch_seconds,
            images_per_second: position.counts.images() as f64 / position.epoch_seconds,
            loss: terms.values().sum(),
            terms,
            train: position.counts.scores(&names).exits,
            valid,
        };
        let deepest = record.valid.as_ref().and_then(|valid| valid.exits.last());
        if let Some(valid_top1) = deepest.map(|exit| exit.top1)
            && position.best.is_none_or(|best| valid_top1 > best.valid_top1)
        {
            position.best = Some(Best { epoch: position.epoch, valid_top1 });
            observer.save_best(self.variables, self.experiment)?;
        }
        observer.epoch_ends(&record, train.epochs)?;
        position.counts = Counts::default();
        position.step_in_epoch = 0;
        position.epoch_seconds = 0.0;
        Ok(())
    }
}

/// The epoch's mean loss so far.
///
/// # Errors
/// If it is not finite: names the term, the last step and its learning rate.
fn check_finite(counts: &Counts, step: u64, rate: f64) -> Result<f64> {
    let terms = counts.terms();
    for (term, mean) in &terms {
        ensure!(
            mean.is_finite(),
            "the {term} loss is {mean} in the {LOOK_EVERY} steps to step {step}, learning rate \
             {rate:.6}: the last checkpoint is kept"
        );
    }
    Ok(terms.values().sum())
}
