//! A training step on a batch that is there already, whole and by part.

use std::time::Instant;

use anyhow::Result;
use sd_bench::{Measurement, Timing, timing};
use sd_layers::channels_last;
use sd_models::{ModelConfig, MultiExit};
use tch::{Device, Kind, Tensor, nn};

use super::{Label, RUNS, Stopwatch, WARM_UP, batches};
use crate::batch::Lesson;
use crate::cli::BenchArgs;
use crate::config::Experiment;
use crate::objective::{DeepestOnly, Needs, ObjectiveConfig, Targets};
use crate::optim::Optimiser;
use crate::step::{Part, Step};
use crate::twin::Twin;

/// Small, so that the weights stay ordinary numbers however often the same batch is repeated.
const RATE: f64 = 1e-3;

/// Measures the whole step, then its parts: these wait for the device after each part, which the
/// whole does not.
pub fn measure(
    stopwatch: &Stopwatch,
    experiment: &Experiment,
    args: &BenchArgs,
) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for batch in batches(args, &[experiment.train.batch_size]) {
        let mut steps = Steps::new(experiment, &experiment.model, batch, stopwatch.device)?;
        let label = |part| Label { config: &experiment.name, part, batch, images: batch };
        measurements.push(stopwatch.measure(label("step"), || steps.step(|_| {})));
        for (part, timing) in by_part(stopwatch, &mut steps) {
            measurements.push(stopwatch.label(label(part), timing));
        }
    }
    Ok(measurements)
}

fn by_part(stopwatch: &Stopwatch, steps: &mut Steps) -> Vec<(&'static str, Timing)> {
    timing::reset_peak_memory();
    let mut parts = Part::ALL.map(|part| (part.name(), Vec::new()));
    Timing::measure_for(WARM_UP, stopwatch.budget, RUNS, || {
        let mut started = Instant::now();
        steps.step(|part| {
            stopwatch.wait();
            parts[part as usize].1.push(started.elapsed().as_secs_f64());
            started = Instant::now();
        });
    });
    let timing = |seconds: Vec<f64>| Timing { raw_seconds: seconds[WARM_UP..].to_vec() };
    parts.into_iter().map(|(part, seconds)| (part, timing(seconds))).collect()
}

/// A network in training, and one batch.
#[derive(Debug)]
pub struct Steps {
    network: MultiExit,
    objective: ObjectiveConfig,
    optimiser: Optimiser,
    clip: Option<f64>,
    previous: Option<Twin>,
    lesson: Lesson,
}

impl Steps {
    /// The experiment with `model` for its network, and a random batch of its shape, not mixed.
    pub fn new(
        experiment: &Experiment,
        model: &ModelConfig,
        batch: usize,
        device: Device,
    ) -> Result<Self> {
        let precision = experiment.precision(device)?;
        tch::manual_seed(experiment.seed as i64);
        let vs = nn::VarStore::new(device);
        let task = experiment.task();
        let network = MultiExit::build(&vs.root(), model, task, precision)?;
        let optimiser = Optimiser::new(&vs, &experiment.train.optimiser()?);
        let needs = experiment.objective.get().needs();
        let previous = (needs == Needs::Previous)
            .then(|| Twin::new(model, task, precision, &vs))
            .transpose()?;
        let size = [batch as i64, task.input.channels, task.input.height, task.input.width];
        let images = || channels_last(&Tensor::randn(size, (Kind::Float, device)));
        let labels = Tensor::randint(task.classes, [batch as i64], (Kind::Int64, device));
        Ok(Self {
            network,
            objective: experiment.objective.clone(),
            optimiser,
            clip: experiment.train.clip,
            previous,
            lesson: Lesson {
                images: images(),
                partners: (needs == Needs::Partners).then(images),
                targets: Targets::new(labels),
            },
        })
    }

    /// The same backbone without exits, on the labels alone.
    pub fn plain(experiment: &Experiment, batch: usize, device: Device) -> Result<Self> {
        let model = ModelConfig { exits: None, ..experiment.model.clone() };
        let objective = ObjectiveConfig::DeepestOnly(DeepestOnly { label_smoothing: 0.0 });
        Ok(Self { objective, ..Self::new(experiment, &model, batch, device)? })
    }

    /// One step of the training loop, without mixing and the counting of correct answers. Calls
    /// `after` when a part has ended.
    pub fn step(&mut self, after: impl FnMut(Part)) {
        let step = Step {
            network: &self.network,
            previous: self.previous.as_ref().map(Twin::network),
            objective: &self.objective,
            optimiser: &self.optimiser,
            clip: self.clip,
        };
        step.take(&mut self.lesson, RATE, after);
    }
}
