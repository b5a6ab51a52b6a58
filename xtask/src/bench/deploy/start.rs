//! Time from the start of a process to its first label.

use super::programs::Programs;
use super::{DeployArgs, name};
use crate::workspace;
use anyhow::{Result, ensure};
use sd_cli::Engine;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Measured starts of each program per round.
const STARTS: usize = 10;

/// Seconds from start to end of a process that classifies one image, by engine.
pub fn start_times(
    args: &DeployArgs,
    programs: &Programs,
    run: &Path,
    model: &Path,
) -> Result<Value> {
    let mut times = serde_json::Map::new();
    for &engine in &args.engines {
        let mut command = Command::new(&programs.sd_infer);
        command.arg(model).arg(&programs.pixel).args(["--engine", &name(engine)]);
        match measure(&mut command) {
            Err(error) if engine == Engine::Native => eprintln!("native: {error:#}"),
            seconds => drop(times.insert(name(engine), seconds?.into())),
        }
    }
    let mut predict = Command::new(&programs.sd_train);
    predict.arg("predict").arg(run).arg(&programs.pixel);
    predict.args(["--device", "cpu", "--threads", "1"]);
    times.insert("libtorch".to_owned(), measure(&mut predict)?.into());
    if let Some(python) = &programs.python {
        let mut script = Command::new(python);
        script.arg("-B").arg(workspace::root().join("scripts/peers/start.py"));
        script.arg(run.join("config.toml")).args(["--threads", "1"]);
        times.insert("PyTorch eager".to_owned(), measure(&mut script)?.into());
    }
    Ok(times.into())
}

fn measure(command: &mut Command) -> Result<Vec<f64>> {
    let mut start = || {
        let started = Instant::now();
        let output = command.output()?;
        ensure!(output.status.success(), "{command:?} failed");
        Ok(started.elapsed().as_secs_f64())
    };
    // The first is not measured: it fills the system's file cache.
    let times: Result<Vec<f64>> = (0..=STARTS).map(|_| start()).collect();
    Ok(times?.split_off(1))
}
