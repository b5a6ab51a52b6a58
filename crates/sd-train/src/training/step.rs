//! One training step.

use std::borrow::BorrowMut;

use anyhow::Result;
use sd_distributed::Processes;
use sd_layers::{Precision, SynchronisedBatchNorm, synchronise_batch_norm};
use sd_models::{ExitOutputs, MultiExit};
use tch::{Device, Tensor, nn};

use super::non_finite::running_statistics;
use super::step_stats::StepStats;
use super::{ShadowModel, TrainedTeacher};
use crate::data::TrainBatch;
use crate::evaluation::meter::LossSums;
use crate::experiment::{Experiment, NonFinitePolicy};
use crate::objective::{ObjectiveConfig, TeacherContext};
use crate::optim::{EmaConfig, Optimiser};

/// A network in training: everything that a step reads and changes, apart from its batches.
#[derive(Debug)]
pub struct TrainState {
    /// The network.
    pub network: MultiExit,
    /// Its variables.
    pub variables: nn::VarStore,
    /// Number format of the feature maps.
    pub precision: Precision,
    /// Optimiser of the variables.
    pub optimiser: Optimiser,
    /// Exponential moving average of the variables, if the experiment keeps one.
    pub average: Option<ShadowModel>,
    /// The network after the previous epoch, if the objective requires it.
    pub previous: Option<ShadowModel>,
    /// The trained network that teaches, if the objective names one.
    pub teacher: Option<TrainedTeacher>,
    objective: ObjectiveConfig,
    clip: Option<f64>,
    ema: Option<EmaConfig>,
    non_finite: NonFinitePolicy,
    processes: Processes,
    sync_batch_norm: bool,
}

/// A phase of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepPhase {
    /// Forward pass through all exits.
    Forward,
    /// Teacher and loss.
    Objective,
    /// Backward pass.
    Backward,
    /// Gradient clipping and the optimiser's update.
    Update,
}

impl StepPhase {
    /// All phases, in order.
    pub const ALL: [Self; 4] = [Self::Forward, Self::Objective, Self::Backward, Self::Update];

    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Objective => "objective",
            Self::Backward => "backward",
            Self::Update => "update",
        }
    }
}

/// Watches a step. The default does nothing.
pub trait StepObserver {
    /// Called at the end of each phase.
    fn phase_ends(&mut self, phase: StepPhase) {
        let _ = phase;
    }

    /// Called after the backward pass of each batch.
    fn batch_ends(&mut self, outputs: &ExitOutputs, batch: &TrainBatch) {
        let _ = (outputs, batch);
    }
}

impl StepObserver for () {}

impl TrainState {
    /// Builds the network of `experiment`, initialised from its seed, and its optimiser.
    ///
    /// # Errors
    /// If the network does not build, the optimiser is missing, or the objective's trained teacher
    /// cannot be read or has another input or other classes.
    pub fn new(experiment: &Experiment, device: Device) -> Result<Self> {
        let Experiment { model, train, objective, .. } = experiment;
        let (task, precision) = (experiment.task(), experiment.precision(device)?);
        tch::manual_seed(experiment.seed as i64);
        // On the CPU, so that a seed gives the same network on every device.
        let mut variables = nn::VarStore::new(Device::Cpu);
        let mut network = MultiExit::build(&variables.root(), model, task, precision)?;
        variables.set_device(device);
        if let Some(pretrained) = &train.pretrained {
            pretrained.freeze(&mut network, &variables)?;
        }
        let mut optimiser = Optimiser::new(&variables, train.optimiser.get()?);
        if let Some(pretrained) = &train.pretrained {
            let is_slower = |name: &str| pretrained.is_fine_tuned(name);
            optimiser = optimiser.slower(is_slower, pretrained.rate);
        }
        let shadow = || ShadowModel::new(model, task, precision, &variables);
        let teacher = objective.get().trained_teacher();
        let teacher =
            teacher.map(|config| TrainedTeacher::open(config, experiment, precision, device));
        let requires_previous = objective.get().requirements().previous_network;
        Ok(Self {
            average: train.ema.is_some().then(shadow).transpose()?,
            previous: requires_previous.then(shadow).transpose()?,
            teacher: teacher.transpose()?,
            optimiser,
            objective: objective.clone(),
            clip: train.clip,
            ema: train.ema.clone(),
            non_finite: train.non_finite,
            processes: Processes::single(),
            sync_batch_norm: train.sync_batch_norm,
            precision,
            network,
            variables,
        })
    }

    /// The same network as in each of `processes`, whose steps average their gradients.
    #[must_use]
    pub fn in_processes(self, processes: Processes) -> Self {
        Self { processes, ..self }
    }

    /// Takes step `number`, from 1: averages the gradients of `batches` and updates the network.
    ///
    /// # Errors
    /// If a batch is an error, or another process is gone.
    pub fn step<B: BorrowMut<TrainBatch>>(
        &mut self,
        batches: impl ExactSizeIterator<Item = Result<B>>,
        number: u64,
        rate: f64,
        observer: &mut impl StepObserver,
    ) -> Result<StepStats> {
        let share = 1.0 / batches.len() as f64;
        let mut losses = LossSums::default();
        let statistics = self.non_finite.save_statistics(&self.variables);
        let _synchronised = self.synchronise_batch_norm();
        self.optimiser.zero_grad();
        for batch in batches {
            let mut batch = batch?;
            let batch = batch.borrow_mut();
            let outputs = self.network.forward_exits(&batch.images, true);
            observer.phase_ends(StepPhase::Forward);
            batch.targets.teacher_logits = self.teacher_logits(batch);
            let parts = self.objective.get().loss(&outputs, &batch.targets);
            let loss = parts.total() * share;
            observer.phase_ends(StepPhase::Objective);
            loss.backward();
            observer.phase_ends(StepPhase::Backward);
            losses.add(&parts, batch.len());
            observer.batch_ends(&outputs, batch);
        }
        self.processes.average(self.optimiser.gradients().chain(self.local_statistics()))?;
        let gradient_norm = self.optimiser.gradient_norm();
        let mut stats = StepStats { step: number, rate, losses, gradient_norm, skipped: false };
        if let Some(statistics) = statistics {
            stats.skipped = statistics.restore_if_not_finite(&stats, &self.processes)?;
        }
        if !stats.skipped {
            self.update(&stats);
        }
        observer.phase_ends(StepPhase::Update);
        Ok(stats)
    }

    /// Updates the network by its gradients, and the moving average by the network.
    fn update(&self, stats: &StepStats) {
        if let Some(max_norm) = self.clip {
            self.optimiser.clip(&stats.gradient_norm, max_norm);
        }
        self.optimiser.step(stats.rate);
        if let (Some(ema), Some(average)) = (&self.ema, &self.average) {
            average.average(&self.variables, ema.decay_at(stats.step));
        }
    }

    /// Synchronises batch norm over the processes, if the experiment does, until it is dropped.
    fn synchronise_batch_norm(&self) -> Option<SynchronisedBatchNorm> {
        let Self { processes, sync_batch_norm, .. } = self;
        (*sync_batch_norm && processes.are_several())
            .then(|| synchronise_batch_norm(processes.count(), processes.sum_later_failing()))
    }

    /// The running statistics, where each process has its own: their mean keeps the network the same
    /// in all processes.
    fn local_statistics(&self) -> impl Iterator<Item = Tensor> {
        let differ = self.processes.are_several() && !self.sync_batch_norm;
        differ.then(|| running_statistics(&self.variables)).into_iter().flatten()
    }

    /// Logits of the objective's teacher, without gradient.
    fn teacher_logits(&self, batch: &TrainBatch) -> Option<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let previous = self.previous.as_ref().map(ShadowModel::network);
        let trained = self.teacher.as_ref().map(TrainedTeacher::network);
        let context = TeacherContext { network: &self.network, previous, trained, batch };
        self.objective.get().teacher(&context)
    }
}
