//! A training step on a batch that is there already, whole and by part.

use std::time::Instant;

use anyhow::Result;
use sd_bench::{Measurement, Timing, timing};
use sd_layers::channels_last;
use sd_models::{ModelConfig, MultiExit};
use tch::{Device, Kind, Tensor, nn};

use super::{Label, RUNS, Stopwatch, WARM_UP, batches};
use crate::cli::BenchArgs;
use crate::config::Experiment;
use crate::objective::{DeepestOnly, ObjectiveConfig};
use crate::optim::Sgd;

/// Small, so that the weights stay ordinary numbers however often the same batch is repeated.
const RATE: f64 = 1e-3;

/// The parts of a step, in order.
const PARTS: [&str; 4] = ["forward", "objective", "backward", "update"];

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
    let mut parts = PARTS.map(|part| (part, Vec::new()));
    Timing::measure_for(WARM_UP, stopwatch.budget, RUNS, || {
        let mut started = Instant::now();
        steps.step(|part| {
            stopwatch.wait();
            parts[part].1.push(started.elapsed().as_secs_f64());
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
    sgd: Sgd,
    images: Tensor,
    labels: Tensor,
}

impl Steps {
    /// The experiment with `model` for its network, and a random batch of its shape.
    pub fn new(
        experiment: &Experiment,
        model: &ModelConfig,
        batch: usize,
        device: Device,
    ) -> Result<Self> {
        tch::manual_seed(experiment.seed as i64);
        let vs = nn::VarStore::new(device);
        let task = experiment.task();
        let precision = experiment.train.precision.on(device);
        let network = MultiExit::build(&vs.root(), model, task, precision)?;
        let sgd = Sgd::new(&vs, experiment.train.sgd.clone());
        let size = [batch as i64, task.input.channels, task.input.height, task.input.width];
        Ok(Self {
            network,
            objective: experiment.objective.clone(),
            sgd,
            images: channels_last(&Tensor::randn(size, (Kind::Float, device))),
            labels: Tensor::randint(task.classes, [batch as i64], (Kind::Int64, device)),
        })
    }

    /// The same backbone without exits, on the labels alone.
    pub fn plain(experiment: &Experiment, batch: usize, device: Device) -> Result<Self> {
        let model = ModelConfig { exits: None, ..experiment.model.clone() };
        let objective = ObjectiveConfig::DeepestOnly(DeepestOnly { label_smoothing: 0.0 });
        Ok(Self { objective, ..Self::new(experiment, &model, batch, device)? })
    }

    /// One step as the training loop does it, the counting of correct answers apart. Calls `after`
    /// with the index of each part that has ended.
    pub fn step(&mut self, mut after: impl FnMut(usize)) {
        let outputs = self.network.forward_exits(&self.images, true);
        after(0);
        let loss = self.objective.loss(&outputs, &self.labels).total();
        after(1);
        self.sgd.forget_gradients();
        loss.backward();
        after(2);
        self.sgd.step(RATE);
        after(3);
    }
}
