//! A training step of the network without exits, and with each kind of exit.

use anyhow::Result;
use sd_bench::Measurement;

use super::step::Steps;
use super::{Label, Stopwatch, batches};
use crate::cli::BenchArgs;
use crate::config::Experiment;
use crate::exit_kinds;

/// Measures them one after the other, each network alone in memory.
pub fn measure(
    stopwatch: &Stopwatch,
    experiment: &Experiment,
    args: &BenchArgs,
) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for batch in batches(args, &[experiment.train.batch_size]) {
        for (kind, model) in exit_kinds::variants(&experiment.model)? {
            tracing::info!("{}, batch {batch}: {kind}", experiment.name);
            let mut steps = match model.exits {
                None => Steps::plain(experiment, batch, stopwatch.device)?,
                Some(_) => Steps::new(experiment, &model, batch, stopwatch.device)?,
            };
            let label = Label { config: &experiment.name, part: &kind, batch, images: batch };
            measurements.push(stopwatch.measure(label, || steps.step(|_| {})));
        }
    }
    Ok(measurements)
}
