//! Time from the start of a process to the end of its first step.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use sd_report::Measurement;

use super::{Label, RUNS, Stopwatch, batches, pass_runtime, this_program, timing};
use sd_cli::BenchArgs;
use sd_train::experiment::Experiment;

/// Measures `train --max-steps 1` on the experiment's own images, into a fresh folder each time:
/// loading libraries and images, building the network, one step, the checkpoint.
pub fn measure(
    stopwatch: &Stopwatch,
    experiment: &Experiment,
    config: &Path,
    args: &BenchArgs,
) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for batch in batches(args, &[experiment.train.batch_size]) {
        let mut failed = None;
        // One unmeasured run fills the file cache.
        let timing = timing::measure_for(1, stopwatch.budget, RUNS, || {
            if let Err(error) = first_step(config, batch, args) {
                failed.get_or_insert(error);
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let label = Label { config: &experiment.name, part: "first_step", batch, images: batch };
        // The work was done in other processes.
        let measurement = stopwatch.label(label, timing);
        measurements.push(Measurement { peak_memory_bytes: None, ..measurement });
    }
    Ok(measurements)
}

fn first_step(config: &Path, batch: usize, args: &BenchArgs) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut child = this_program()?;
    child.arg("train").arg(config).args(["--max-steps", "1", "--out"]).arg(folder.path());
    for change in &args.set {
        child.arg("--set").arg(change);
    }
    child.arg("--set").arg(format!("train.batch_size={batch}"));
    pass_runtime(&mut child, args);
    let output = child.stdin(Stdio::null()).output().context("cannot start training")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "training {} for one step failed: {}",
        config.display(),
        stderr.trim()
    );
    Ok(())
}
