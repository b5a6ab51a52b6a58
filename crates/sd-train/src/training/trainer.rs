//! The training loop.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use sd_cli::RuntimeArgs;
use sd_data::{Data, EpochBatches, ImageSet, Loader, LoaderConfig, Order, Shard};
use sd_distributed::Processes;
use sd_models::{MultiExit, variables};
use sd_report::{EpochRecord, SplitScore, Status};
use tch::{Device, Tensor, nn};

use super::checkpoint::{Best, CheckpointTensors, Position};
use super::non_finite;
use super::processes::check_shares;
use super::step_stats::StepStats;
use super::{Observer, Request, ShadowModel, StepObserver, TrainState, TrainedTeacher, summary};
use crate::data::{TrainBatch, device};
use crate::evaluation::{Evaluation, TrainingData};
use crate::experiment::Experiment;
use crate::experiment::costs::NetworkCosts;
use crate::experiment::fingerprint::Fingerprint;

/// An experiment in training: its images, its network and its position.
#[derive(Debug)]
pub struct Trainer {
    /// The experiment.
    pub experiment: Experiment,
    /// Its images.
    pub data: Data,
    /// Its network, with everything that a step changes.
    pub state: TrainState,
    /// Costs of its network.
    pub costs: NetworkCosts,
    /// Position in the run.
    pub position: Position,
    /// Training images.
    pub loader: Loader,
    /// Weights of the classes in the loss, `[K]`, if there are any.
    class_weights: Option<Tensor>,
    /// Validation images, if there is such a split.
    pub valid: Option<Evaluation>,
    /// Device that computes.
    pub device: Device,
    /// Threads that compute; as many load images.
    pub threads: usize,
    /// The processes that train together.
    pub processes: Processes,
}

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// The run was asked to stop, with this exit code, and can be resumed.
    Interrupted(u8),
}

/// The network that is evaluated, saved and deployed.
#[derive(Debug, Clone, Copy)]
pub struct Deployed<'a> {
    /// The network.
    pub network: &'a MultiExit,
    /// Its variables.
    pub variables: &'a nn::VarStore,
}

/// Batches that the loader prepares ahead of the step.
pub const PREFETCH: usize = 4;

impl Trainer {
    /// Opens the images and builds the network of `experiment`, initialised from its seed.
    ///
    /// # Errors
    /// Names the file, key or value that is wrong.
    pub fn new(experiment: &Experiment, runtime: &RuntimeArgs) -> Result<Self> {
        Self::in_processes(experiment, runtime, Processes::single())
    }

    /// See [`new`](Self::new); one of several processes, each of which trains on its share of every
    /// batch.
    ///
    /// # Errors
    /// As above, or if the processes cannot share a batch evenly.
    pub fn in_processes(
        experiment: &Experiment,
        runtime: &RuntimeArgs,
        processes: Processes,
    ) -> Result<Self> {
        let train = &experiment.train;
        check_shares(train.batch_size, &processes)?;
        let threads =
            runtime.threads_of(processes.place().and_then(|place| place.local_world_size));
        tch::set_num_threads(threads as i32);
        let device = device::resolve(device::of_process(runtime.device, &processes))?;
        let data = experiment.open_data(&runtime.data_dir)?;
        let state = TrainState::new(experiment, device)?.in_processes(processes.clone());
        let config = LoaderConfig {
            batch_size: train.batch_size,
            threads,
            prefetch: PREFETCH,
            seed: experiment.seed,
            order: Order::Shuffled,
            drop_last: true,
            partners: experiment.objective.get().requirements().partner_images,
            augment: experiment.data.augment.clone(),
            normalization: data.normalization.clone(),
        };
        ensure!(
            train.batch_size <= data.train.len(),
            "train.batch_size is {}, expected at most the {} training images",
            train.batch_size,
            data.train.len()
        );
        let loader = Loader::new(Arc::clone(&data.train), config)?
            .shard(Shard::new(processes.rank(), processes.count()));
        ensure!(
            train.accumulate <= loader.batches(),
            "train.accumulate is {}, expected at most the {} batches of an epoch",
            train.accumulate,
            loader.batches()
        );
        ensure!(
            train.early_stopping.is_none() || data.valid.is_some(),
            "train.early_stopping requires a validation split: data.validation"
        );
        let images = Fingerprint::from(&data);
        let mut position = Position::start(experiment.to_toml()?, images);
        let training_data = TrainingData::new(experiment, &data, images);
        state.teacher.iter().try_for_each(|teacher| teacher.check(&training_data))?;
        position.data = Some(training_data);
        position.teacher = state.teacher.as_ref().map(TrainedTeacher::checksum);
        let costs = NetworkCosts::of(&state.network, &experiment.model, experiment.task())?;
        let class_weights = train.class_weights.as_ref().map(|weights| {
            let weights = weights.weights(&data.train.of_class());
            device::put(Tensor::from_slice(&weights), device)
        });
        // Each process takes its share of a batch.
        let batch = experiment.evaluation_batch() * processes.count();
        let normalization = data.normalization.clone();
        let valid = data.valid.clone().map(|images| {
            Evaluation::new(images, normalization, batch, threads, device)?.shared_by(&processes)
        });
        let valid = valid.transpose()?;
        Ok(Self {
            experiment: experiment.clone(),
            data,
            state,
            costs,
            position,
            loader,
            class_weights,
            valid,
            device,
            threads,
            processes,
        })
    }

    /// Trains to the last epoch, or until the observer asks to stop.
    ///
    /// # Errors
    /// If a loss or gradient is not finite (names the step, the term and the learning rate), or a
    /// file cannot be written.
    pub fn run(&mut self, observer: &mut Observer) -> Result<Outcome> {
        while !self.has_ended() {
            if let Request::Stop(code) = observer.request(self.steps_taken())? {
                // A run without a step can be resumed as well.
                if self.steps_taken() == 0 {
                    observer.save_checkpoint(&self.position, &self.tensors())?;
                }
                return Ok(Outcome::Interrupted(code));
            }
            self.train_epoch(observer)?;
            self.check_finite()?;
            if self.position.step_in_epoch == self.steps_per_epoch() {
                self.finish_epoch(observer)?;
            }
            observer.save_checkpoint(&self.position, &self.tensors())?;
        }
        Ok(Outcome::Finished)
    }

    /// Trains the rest of the current epoch, or until the observer asks to stop.
    fn train_epoch(&mut self, observer: &mut Observer) -> Result<()> {
        let (mut batches, steps) = (self.batches(), self.steps_per_epoch());
        observer.epoch_starts(&mut self.position, steps)?;
        while self.position.step_in_epoch < steps {
            let rate = self.learning_rate(self.steps_taken());
            let stats = self.step(&mut batches, rate, observer)?;
            observer.step_ends(stats)?;
            match observer.request(self.steps_taken())? {
                Request::Continue => {}
                Request::Stop(_) => break,
                Request::Checkpoint => {
                    observer.update_position(&mut self.position)?;
                    self.check_finite()?;
                    observer.save_checkpoint(&self.position, &self.tensors())?;
                }
            }
        }
        observer.steps_end();
        observer.update_position(&mut self.position)
    }

    /// Takes the next step of the epoch, on the next of its `batches`.
    ///
    /// # Errors
    /// If an image cannot be read (names its file), after too many skipped steps in a row, and see
    /// [`TrainState::step`].
    ///
    /// # Panics
    /// If `batches` has fewer batches than a step.
    pub fn step(
        &mut self,
        batches: &mut EpochBatches,
        rate: f64,
        observer: &mut impl StepObserver,
    ) -> Result<StepStats> {
        let Experiment { mix, seed, train, .. } = &self.experiment;
        let (step, epoch, device) = (self.steps_taken(), self.position.epoch, self.device);
        let batches = (0..train.accumulate).map(|index| {
            let number = step * train.accumulate as u64 + index as u64;
            // Dropout draws from libtorch's only generator: each batch has its own stream, and so has
            // each process's share of it.
            let stream = number * self.processes.count() as u64 + self.processes.rank() as u64;
            tch::manual_seed(seed.wrapping_add(stream.wrapping_mul(1 << 20)) as i64);
            let batch = batches.next().expect("the loader has the batches of every step")?;
            let batch = TrainBatch::new(batch, epoch, train.epochs, device)
                .with_class_weights(self.class_weights.as_ref());
            Ok(match mix {
                Some(mix) => mix.apply(batch, *seed, number),
                None => batch,
            })
        });
        let stats = self.state.step(batches, step + 1, rate, observer)?;
        self.position.next_step(&stats)?;
        Ok(stats)
    }

    /// Remaining batches of the current epoch.
    pub fn batches(&self) -> EpochBatches {
        let first = self.position.step_in_epoch * self.experiment.train.accumulate;
        self.loader.epoch(self.position.epoch, first)
    }

    /// Checks the result of the last update, which no loss has seen yet.
    fn check_finite(&self) -> Result<()> {
        if let Some(name) = non_finite::non_finite_tensor(&self.tensors()) {
            let step = self.steps_taken();
            let rate = self.learning_rate(step.saturating_sub(1));
            bail!(
                "{name} is not finite after step {step}, learning rate {rate}: the last checkpoint \
                 is kept"
            );
        }
        Ok(())
    }

    /// Evaluates on the validation split, saves the best weights, and records and reports the epoch.
    fn finish_epoch(&mut self, observer: &mut Observer) -> Result<()> {
        let Deployed { network, variables } = self.deployed();
        let position = &self.position;
        ensure!(
            position.counts.images() > 0,
            "every step of epoch {} was skipped: training makes no progress",
            position.epoch + 1
        );
        let valid = self.valid.as_ref().map(|split| split.scores(network)).transpose()?;
        let record = self.epoch_record(valid);
        let deepest = record.valid.as_ref().and_then(|valid| valid.exits.last());
        let mut best = position.best;
        let now = deepest.map(|exit| Best {
            epoch: record.epoch,
            valid_top1: exit.top1,
            valid_loss: Some(exit.loss),
        });
        if now.is_some_and(|now| best.is_none_or(|best| now.is_better_than(&best))) {
            best = now;
            observer.save_best(variables, &self.experiment, position.data.as_ref())?;
        }
        observer.epoch_ends(&record, self.experiment.train.epochs)?;
        self.next_epoch(best);
        observer.report(summary(self, Status::Running, None)?);
        Ok(())
    }

    /// Begins the next epoch; the network of the one that ends becomes the previous one.
    pub(crate) fn next_epoch(&mut self, best: Option<Best>) {
        if let Some(previous) = &self.state.previous {
            previous.copy_from(&self.state.variables);
        }
        self.position.next_epoch(best);
    }

    /// The record of the current epoch, whose steps are all taken.
    fn epoch_record(&self, valid: Option<SplitScore>) -> EpochRecord {
        let Position { epoch, counts, epoch_seconds, .. } = &self.position;
        let (step, terms) = (self.steps_taken(), counts.terms());
        EpochRecord {
            epoch: epoch + 1,
            step,
            learning_rate: self.learning_rate(step - 1),
            seconds: *epoch_seconds,
            images_per_second: counts.images() as f64 / epoch_seconds,
            loss: terms.values().sum(),
            terms,
            train: counts.scores(&self.state.network.exit_names()).exits,
            valid,
        }
    }

    /// Whether all epochs are done, or the run has stopped early.
    pub fn has_ended(&self) -> bool {
        self.position.epoch >= self.experiment.train.epochs || self.stops_early()
    }

    /// Whether validation has not improved within the patience of the experiment, and epochs are
    /// left.
    pub fn stops_early(&self) -> bool {
        let Position { epoch, best, .. } = self.position;
        let train = &self.experiment.train;
        let stopping = train.early_stopping.as_ref();
        epoch < train.epochs
            && stopping.zip(best).is_some_and(|(stopping, best)| stopping.ends(epoch, best.epoch))
    }

    /// Steps per epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.loader.batches() / self.experiment.train.accumulate
    }

    /// Images per step.
    pub fn images_per_step(&self) -> usize {
        self.experiment.train.batch_size * self.experiment.train.accumulate
    }

    /// Steps since the start of the run.
    pub fn steps_taken(&self) -> u64 {
        self.position.epoch * self.steps_per_epoch() as u64 + self.position.step_in_epoch as u64
    }

    /// Learning rate of a step, counted from 0.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let train = &self.experiment.train;
        train.schedule.rate(step, self.steps_per_epoch() as u64, train.epochs)
    }

    /// The network to evaluate, save and deploy: the moving average if one is kept.
    pub fn deployed(&self) -> Deployed<'_> {
        let TrainState { network, variables, average, .. } = &self.state;
        match average {
            Some(average) => {
                Deployed { network: average.network(), variables: average.variables() }
            }
            None => Deployed { network, variables },
        }
    }

    /// All tensors that a step changes or depends on, apart from its batches. They share storage
    /// with the trainer: copying into them restores its state.
    pub fn tensors(&self) -> CheckpointTensors {
        let TrainState { variables: weights, optimiser, average, previous, .. } = &self.state;
        let shadow = |model: &Option<ShadowModel>| {
            model.as_ref().map(ShadowModel::state).unwrap_or_default()
        };
        let groups = optimiser.state().into_iter();
        groups
            .fold(CheckpointTensors::default(), |all, (group, tensors)| all.with(group, tensors))
            .with("weights", variables(weights))
            .with("average", shadow(average))
            .with("previous", shadow(previous))
    }

    /// An evaluation on `images`, with the normalisation of the experiment.
    ///
    /// # Errors
    /// If the loader refuses its configuration.
    pub fn evaluation(&self, images: &Arc<ImageSet>) -> Result<Evaluation> {
        let normalization = self.data.normalization.clone();
        let batch = self.experiment.evaluation_batch();
        Evaluation::new(Arc::clone(images), normalization, batch, self.threads, self.device)
    }
}
