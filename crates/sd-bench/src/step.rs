//! Throughput of a training step, whole and by phase.

use std::time::Instant;

use anyhow::Result;
use sd_cli::BenchArgs;
use sd_layers::channels_last;
use sd_models::ModelConfig;
use sd_report::{Measurement, Timing, process_memory};
use sd_train::data::{Targets, TrainBatch};
use sd_train::experiment::Experiment;
use sd_train::training::{StepObserver, StepPhase, TrainState};
use tch::{Device, Kind, Tensor};

use super::{Label, RUNS, Stopwatch, WARM_UP, batches, timing};

/// Small, so that the weights stay finite however often the same batch is repeated.
const RATE: f64 = 1e-3;

/// Measures the whole step, then its phases: these wait for the device after each phase, which the
/// whole step does not.
pub fn measure(
    stopwatch: &Stopwatch,
    experiment: &Experiment,
    args: &BenchArgs,
) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for batch in batches(args, &[experiment.train.batch_size]) {
        let mut steps = Steps::new(experiment, batch, stopwatch.device)?;
        let label = |part| Label { config: &experiment.name, part, batch, images: batch };
        measurements.push(stopwatch.measure(label("step"), || steps.step(&mut ())));
        for (phase, timing) in by_phase(stopwatch, &mut steps) {
            measurements.push(stopwatch.label(label(phase.name()), timing));
        }
    }
    Ok(measurements)
}

fn by_phase(stopwatch: &Stopwatch, steps: &mut Steps) -> Vec<(StepPhase, Timing)> {
    process_memory::reset_peak();
    let mut phases = PhaseTimes {
        stopwatch,
        started: Instant::now(),
        seconds: StepPhase::ALL.map(|phase| (phase, Vec::new())),
    };
    timing::measure_for(WARM_UP, stopwatch.budget, RUNS, || {
        phases.started = Instant::now();
        steps.step(&mut phases);
    });
    let timing = |seconds: Vec<f64>| Timing { raw_seconds: seconds[WARM_UP..].to_vec() };
    phases.seconds.into_iter().map(|(phase, seconds)| (phase, timing(seconds))).collect()
}

/// Times the phases of steps.
struct PhaseTimes<'a> {
    stopwatch: &'a Stopwatch,
    started: Instant,
    seconds: [(StepPhase, Vec<f64>); 4],
}

impl StepObserver for PhaseTimes<'_> {
    fn phase_ends(&mut self, phase: StepPhase) {
        self.stopwatch.wait();
        self.seconds[phase as usize].1.push(self.started.elapsed().as_secs_f64());
        self.started = Instant::now();
    }
}

/// A network in training, and one random batch.
#[derive(Debug)]
pub struct Steps {
    state: TrainState,
    batch: TrainBatch,
    taken: u64,
}

impl Steps {
    /// The network of `experiment`, and a random batch of `batch_size` images of its shape.
    ///
    /// # Errors
    /// If the network does not build.
    pub fn new(experiment: &Experiment, batch_size: usize, device: Device) -> Result<Self> {
        let state = TrainState::new(experiment, device)?;
        let (task, count) = (experiment.task(), batch_size as i64);
        let size = [count, task.input.channels, task.input.height, task.input.width];
        let images = || channels_last(&Tensor::randn(size, (Kind::Float, device)));
        let labels = Tensor::randint(task.classes, [count], (Kind::Int64, device));
        let partners = experiment.objective.get().requirements().partner_images;
        let batch = TrainBatch {
            images: images(),
            partners: partners.then(images),
            targets: Targets::new(labels),
            epoch: 1,
        };
        Ok(Self { state, batch, taken: 0 })
    }

    /// The same backbone without exits, on the labels alone.
    ///
    /// # Errors
    /// If the network does not build.
    pub fn plain(experiment: &Experiment, batch_size: usize, device: Device) -> Result<Self> {
        let mut plain = experiment.clone();
        plain.model = ModelConfig { exits: None, ..plain.model };
        plain.objective = toml::from_str("[deepest_only]\nlabel_smoothing = 0.0")?;
        Self::new(&plain, batch_size, device)
    }

    /// Takes one training step, without mixing and metrics.
    pub fn step(&mut self, observer: &mut impl StepObserver) {
        self.taken += 1;
        let batch = std::iter::once(Ok(&mut self.batch));
        self.state.step(batch, self.taken, RATE, observer).expect("a step of finite numbers");
    }
}
