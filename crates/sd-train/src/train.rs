//! The training loop.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use sd_bench::EpochRecord;
use sd_data::{Batch, Loader};
use sd_models::{MultiExit, variables};
use tch::{Device, nn};

use crate::batch::Lesson;
use crate::checkpoint::{Best, Position, State};
use crate::config::Experiment;
use crate::evaluate::Evaluation;
use crate::meter::{Counts, Meter};
use crate::non_finite::{Broken, NonFinite, Statistics};
use crate::observe::Observer;
use crate::optim::Optimiser;
use crate::step::Step;
use crate::trace::Trace;
use crate::twin::Twin;

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
    pub optimiser: Optimiser,
    /// The moving average of the variables, if one is kept.
    pub average: Option<Twin>,
    /// The network of the epoch before, if the objective asks for it.
    pub previous: Option<Twin>,
    /// The training images.
    pub loader: Loader,
    /// The validation images, if there is such a split.
    pub valid: Option<Evaluation>,
    /// Where it computes.
    pub device: Device,
}

/// Steps between two looks at the losses and gradients. A look waits for the device.
const LOOK_EVERY: u64 = 16;
/// Steps in a row that are skipped before the run stops: it learns nothing any more.
const SKIPPED_AT_MOST: u64 = 16;

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
    /// A loss or gradient that is not finite, with the step, the term and the learning rate; a
    /// file that cannot be written.
    pub fn run(&mut self, position: &mut Position, observer: &mut Observer) -> Result<Ended> {
        while !self.has_ended(position) {
            self.steps(position, observer)?;
            if position.step_in_epoch == self.steps_per_epoch() {
                self.finish_epoch(position, observer)?;
            }
            observer.save(position, &self.state())?;
            if let Some(code) = observer.must_stop(self.steps_taken(position))
                && !self.has_ended(position)
            {
                return Ok(Ended::Interrupted(code));
            }
        }
        Ok(Ended::Finished)
    }

    /// Whether nothing is left to train.
    fn has_ended(&self, position: &Position) -> bool {
        position.epoch >= self.experiment.train.epochs || self.stops_early(position)
    }

    /// Whether epochs are left, and validation has not improved for as long as the experiment has
    /// patience.
    pub fn stops_early(&self, position: &Position) -> bool {
        let train = &self.experiment.train;
        let stopping = train.early_stopping.as_ref();
        position.epoch < train.epochs && stopping.is_some_and(|stopping| stopping.ends(position))
    }

    /// Takes the steps that the epoch has left, until the observer asks it to stop.
    fn steps(&self, position: &mut Position, observer: &mut Observer) -> Result<()> {
        let train = &self.experiment.train;
        let mut started = Instant::now();
        observer.epoch_starts(position, self.steps_per_epoch())?;
        let mut meter = Meter::from(std::mem::take(&mut position.counts));
        let (mut traces, mut skipped) = (Vec::new(), 0);
        let first = position.step_in_epoch;
        let mut batches = self.loader.epoch(position.epoch, first * train.accumulate);
        for _ in first..self.steps_per_epoch() {
            let step = self.steps_taken(position);
            let rate = self.rate(step);
            let before =
                (train.non_finite == NonFinite::Skip).then(|| Statistics::of(self.variables));

            let (seen, trace) = self.learn(position, rate, &mut batches);
            if let Some(before) = before
                && let Some(broken) = Broken::in_step(&trace.look())
            {
                tracing::warn!("{broken}: the step is skipped");
                before.restore();
                skipped += 1;
                ensure!(
                    skipped < SKIPPED_AT_MOST,
                    "{broken}: {skipped} steps in a row are skipped, nothing is learnt any more"
                );
            } else {
                self.update(position, &trace);
                meter.absorb(seen);
                traces.push(trace);
                skipped = 0;
            }

            position.step_in_epoch += 1;
            if step.is_multiple_of(LOOK_EVERY) {
                look(&mut traces, observer)?;
                observer.shows(meter.read().terms().values().sum());
            }
            position.epoch_seconds += started.elapsed().as_secs_f64();
            observer.after_step();
            if observer.must_stop(step + 1).is_some() {
                break;
            }
            if observer.wants_checkpoint() {
                look(&mut traces, observer)?;
                position.counts = meter.read().clone();
                observer.save(position, &self.state())?;
            }
            started = Instant::now();
        }
        observer.steps_end();
        // A GPU may still be at the last steps.
        let waiting = Instant::now();
        look(&mut traces, observer)?;
        position.counts = meter.read().clone();
        position.epoch_seconds += waiting.elapsed().as_secs_f64();
        Ok(())
    }

    /// Gathers the gradients of a step's batches, to be updated by at this learning rate, and counts
    /// what they were learnt with.
    pub fn learn(
        &self,
        position: &Position,
        rate: f64,
        batches: &mut impl Iterator<Item = Batch>,
    ) -> (Meter, Trace) {
        let Experiment { train, mix, seed, .. } = self.experiment;
        let first = self.steps_taken(position) * train.accumulate as u64;
        let step = self.step(position);
        let mut meter = Meter::default();
        self.optimiser.forget_gradients();
        for (number, batch) in (first..).zip(batches.take(train.accumulate)) {
            // Dropout draws from libtorch's one generator: a stream for each batch.
            tch::manual_seed(seed.wrapping_add(number.wrapping_mul(1 << 20)) as i64);
            let progress = (position.epoch + 1) as f64 / train.epochs as f64;
            let images = batch.len();
            let mut lesson = Lesson::new(batch, progress, self.device);
            if let Some(mix) = mix {
                lesson = mix.apply(lesson, *seed, number);
            }
            let (outputs, parts) = step.learn(&mut lesson, 1.0 / train.accumulate as f64, |_| {});
            meter.add(&outputs, lesson.targets.dominant());
            meter.add_loss(&parts, images);
        }
        let number = self.steps_taken(position) + 1;
        let trace = Trace::new(number, rate, &meter, self.optimiser.gradient_norm());
        (meter, trace)
    }

    /// Updates the network by the gathered gradients, and the average by the network.
    pub fn update(&self, position: &Position, trace: &Trace) {
        self.step(position).update(&trace.gradient_norm, trace.rate);
        if let (Some(ema), Some(average)) = (&self.experiment.train.ema, &self.average) {
            ema.update(average, self.variables);
        }
    }

    /// A step of the epoch that `position` is in.
    fn step(&self, position: &Position) -> Step<'_> {
        let previous = self.previous.as_ref().filter(|_| position.epoch > 0);
        Step {
            network: self.network,
            previous: previous.map(Twin::network),
            objective: &self.experiment.objective,
            optimiser: &self.optimiser,
            clip: self.experiment.train.clip,
        }
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.loader.batches() / self.experiment.train.accumulate
    }

    /// Images of a step.
    pub fn images_a_step(&self) -> usize {
        self.experiment.train.batch_size * self.experiment.train.accumulate
    }

    /// Steps since the start of the run.
    pub fn steps_taken(&self, position: &Position) -> u64 {
        position.epoch * self.steps_per_epoch() as u64 + position.step_in_epoch as u64
    }

    /// The learning rate of a step, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        let train = &self.experiment.train;
        train.schedule.rate(step, self.steps_per_epoch() as u64, train.epochs)
    }

    /// What is evaluated, saved and deployed: the average of the weights where one is kept, else
    /// the weights.
    pub fn deployed(&self) -> (&MultiExit, &nn::VarStore) {
        match &self.average {
            Some(average) => (average.network(), average.variables()),
            None => (self.network, self.variables),
        }
    }

    /// All tensors that a step changes or depends on, apart from its batch. They are the trainer's
    /// own: what is copied into them is its state.
    pub fn state(&self) -> State {
        let groups = self.optimiser.state().into_iter();
        groups
            .fold(State::default(), |state, (group, tensors)| state.with(group, tensors))
            .with("weights", variables(self.variables))
            .with("average", self.average.as_ref().map(Twin::state).unwrap_or_default())
            .with("previous", self.previous.as_ref().map(Twin::state).unwrap_or_default())
    }

    /// Evaluates on the validation split, keeps the best weights, and records the epoch.
    fn finish_epoch(&self, position: &mut Position, observer: &mut Observer) -> Result<()> {
        let (network, variables) = self.deployed();
        let names = network.exit_names();
        ensure!(
            position.counts.images() > 0,
            "every step of epoch {} was skipped, nothing is learnt any more",
            position.epoch + 1
        );
        let valid = self.valid.as_ref().map(|split| split.run(network)).transpose()?;
        position.epoch += 1;
        position.step_in_epoch = 0;
        if let Some(previous) = &self.previous {
            previous.copy(self.variables);
        }
        position.seconds += position.epoch_seconds;
        let step = self.steps_taken(position);
        let terms = position.counts.terms();
        let record = EpochRecord {
            epoch: position.epoch,
            step,
            learning_rate: self.rate(step - 1),
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
            observer.save_best(variables, self.experiment)?;
        }
        observer.epoch_ends(&record, self.experiment.train.epochs)?;
        position.counts = Counts::default();
        position.epoch_seconds = 0.0;
        Ok(())
    }
}

/// Reads what the steps since the last look left on the device, and hands it to the observer.
///
/// # Errors
/// If a number is not finite: names it, the step and its learning rate.
fn look(traces: &mut Vec<Trace>, observer: &mut Observer) -> Result<()> {
    let steps = Trace::read(&std::mem::take(traces));
    if let Some(broken) = steps.iter().find_map(Broken::in_step) {
        bail!("{broken}: the last checkpoint is kept");
    }
    observer.looked(&steps)
}
