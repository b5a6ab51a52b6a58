//! Evaluation throughput, and latency of the network that ends at each exit and of the ensemble.

use anyhow::{Context, Result};
use sd_layers::channels_last;
use sd_models::{MultiExit, prepare_for_inference};
use sd_report::{ENSEMBLE, Measurement};
use tch::{Kind, Tensor, nn};

use super::{Label, Stopwatch, batches};
use sd_cli::BenchArgs;
use sd_train::evaluation::meter::Meter;
use sd_train::experiment::Experiment;

/// Images per evaluation batch.
const BATCH: usize = 256;
/// Batch sizes: a single image, and a batch that keeps a processor busy.
const LATENCY_BATCHES: [usize; 2] = [1, 64];

/// Measures an evaluation batch with all exits and their scores, then each exit alone and, with
/// several exits, their ensemble.
pub fn measure(
    stopwatch: &Stopwatch,
    experiment: &Experiment,
    args: &BenchArgs,
) -> Result<Vec<Measurement>> {
    let _no_grad = tch::no_grad_guard();
    let device = stopwatch.device;
    tch::manual_seed(experiment.seed as i64);
    let vs = nn::VarStore::new(device);
    let task = experiment.task();
    let model = experiment.model.merged();
    let network = MultiExit::build(&vs.root(), &model, task, stopwatch.precision)?;
    prepare_for_inference(&vs, stopwatch.precision);
    let images = |batch: usize| {
        let size = [batch as i64, task.input.channels, task.input.height, task.input.width];
        channels_last(&Tensor::randn(size, (Kind::Float, device)))
    };
    let label = |part, batch| Label { config: &experiment.name, part, batch, images: batch };
    let names = network.exit_names();

    let labels = Tensor::randint(task.classes, [BATCH as i64], (Kind::Int64, device));
    let batch = images(BATCH);
    let mut measurements = vec![stopwatch.measure(label("evaluation", BATCH), || {
        let mut meter = Meter::default();
        meter.add(&network.forward_exits(&batch, false), &labels);
        meter.read().clone()
    })];
    for size in batches(args, &LATENCY_BATCHES) {
        let batch = images(size);
        for (exit, name) in names.iter().enumerate() {
            let forward = || network.forward_until(&batch, exit, false);
            forward().with_context(|| format!("the network has no {name}"))?;
            measurements.push(stopwatch.measure(label(name, size), forward));
        }
        if names.len() > 1 {
            let forward = || network.forward_exits(&batch, false).ensemble();
            measurements.push(stopwatch.measure(label(ENSEMBLE, size), forward));
        }
    }
    Ok(measurements)
}
