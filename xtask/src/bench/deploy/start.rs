//! Time from the start of a process to its first label.

use super::programs::Programs;
use super::{DeployArgs, Deployed, name};
use crate::workspace;
use anyhow::{Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Measured starts of each program per round.
const STARTS: usize = 10;

/// Seconds from start to end of a process that classifies one image, by engine. `model` is the
/// deepest exit, which [`export`](super::export::export) has scored in every engine that supports it.
pub fn start_times(
    args: &DeployArgs,
    programs: &Programs,
    deployed: &Deployed,
    model: &Path,
) -> Result<Value> {
    let scored = deployed.models.iter().find(|model| model["name"] == "deepest");
    let is_supported = |engine: &str| scored.is_some_and(|model| model["top1"][engine].is_number());
    let mut times = serde_json::Map::new();
    let engines = args.engines.iter().map(|&engine| name(engine));
    for engine in engines.filter(|engine| is_supported(engine)) {
        let mut command = Command::new(&programs.sd_infer);
        command.arg(model).arg(&programs.pixel).args(["--engine", &engine]);
        times.insert(engine, measure(&mut command)?.into());
    }
    let mut predict = Command::new(&programs.sd_train);
    predict.arg("predict").arg(deployed.run).arg(&programs.pixel);
    predict.args(["--device", "cpu", "--threads", "1"]);
    times.insert("libtorch".to_owned(), measure(&mut predict)?.into());
    if let Some(python) = &programs.python {
        let mut script = Command::new(python);
        script.arg("-B").arg(workspace::root().join("scripts/peers/start.py"));
        script.arg(deployed.run.join("config.toml")).args(["--threads", "1"]);
        times.insert("PyTorch eager".to_owned(), measure(&mut script)?.into());
    }
    Ok(times.into())
}

fn measure(command: &mut Command) -> Result<Vec<f64>> {
    let mut start = || {
        let started = Instant::now();
        let output = command.output()?;
        let messages = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} failed ({}): {messages}", output.status);
        Ok(started.elapsed().as_secs_f64())
    };
    // The first is not measured: it fills the system's file cache.
    let times: Result<Vec<f64>> = (0..=STARTS).map(|_| start()).collect();
    Ok(times?.split_off(1))
}
