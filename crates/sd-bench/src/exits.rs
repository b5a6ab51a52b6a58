//! Throughput of a training step without exits and with each kind of exit.

use anyhow::Result;
use sd_report::Measurement;

use super::step::Steps;
use super::{Label, Stopwatch, batches};
use sd_cli::BenchArgs;
use sd_train::commands::exit_kinds;
use sd_train::experiment::Experiment;

/// Measures the networks one after the other, each alone in memory.
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
                Some(_) => {
                    let experiment = Experiment { model, ..experiment.clone() };
                    Steps::new(&experiment, batch, stopwatch.device)?
                }
            };
            let label = Label { config: &experiment.name, part: &kind, batch, images: batch };
            measurements.push(stopwatch.measure(label, || steps.step(&mut ())));
        }
    }
    Ok(measurements)
}
