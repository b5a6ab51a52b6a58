//! One round of measurements of a run.

use super::export::Exported;
use super::programs::Programs;
use super::start::start_times;
use super::{DeployArgs, Deployed, name};
use crate::bench::document;
use crate::workspace;
use anyhow::{Context, Result};
use sd_cli::Engine;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Measures the exported files, the start times, and the same network in libtorch and PyTorch.
pub fn round(args: &DeployArgs, programs: &Programs, deployed: &Deployed) -> Result<Value> {
    let sizes = args.threads.iter().flat_map(|&n| args.batch.iter().map(move |&batch| (n, batch)));
    let sizes: Vec<(u16, u16)> = sizes.collect();
    let mut exported = Vec::new();
    for file in &deployed.files {
        for engine in file.engines(args) {
            for &size in &sizes {
                let record = infer(args, &programs.sd_infer, &deployed.images, file, engine, size)?;
                exported.extend(record);
            }
        }
    }
    let deepest = deployed.files.iter().find(|file| file.name == "deepest");
    let deepest = &deepest.context("no engine supports the deepest exit")?.path;
    let starts = start_times(args, programs, deployed, deepest)?;
    let mut peers = Vec::new();
    for &threads in &args.threads {
        peers.push(libtorch(args, &programs.sd_bench, deployed.run, threads)?);
        if let Some(python) = &programs.python {
            peers.push(pytorch(args, python, deployed.run, threads)?);
        }
    }
    Ok(json!({"exported": exported, "first_label_seconds": starts, "peers": peers}))
}

/// The measurement of a file; `None` if the engine does not support it.
fn infer(
    args: &DeployArgs,
    sd_infer: &Path,
    images: &Path,
    file: &Exported,
    engine: Engine,
    (threads, batch): (u16, u16),
) -> Result<Option<Value>> {
    let mut command = Command::new(sd_infer);
    command.arg(&file.path).arg(images).arg(format!("--bench={}", args.seconds));
    command.args(["--json", "--engine", &name(engine)]);
    command.args(["--threads", &threads.to_string(), "--batch", &batch.to_string()]);
    let mut record = file.document(&mut command, engine)?;
    if let Some(record) = &mut record {
        record["model"] = file.name.clone().into();
    }
    Ok(record)
}

fn libtorch(args: &DeployArgs, sd_bench: &Path, run: &Path, threads: u16) -> Result<Value> {
    let mut command = Command::new(sd_bench);
    command.args(["infer", "--json", "--device", "cpu", "-s", "train.precision=\"f32\""]);
    peer(args, &mut command, run, threads)
}

fn pytorch(args: &DeployArgs, python: &Path, run: &Path, threads: u16) -> Result<Value> {
    let mut command = Command::new(python);
    command.arg("-B").arg(workspace::root().join("scripts/peers/infer.py"));
    peer(args, command.args(["--precision", "f32"]), run, threads)
}

fn peer(args: &DeployArgs, command: &mut Command, run: &Path, threads: u16) -> Result<Value> {
    command.arg(run.join("config.toml"));
    for batch in &args.batch {
        command.args(["--batch", &batch.to_string()]);
    }
    command.args(["--seconds", &args.seconds.to_string(), "--threads", &threads.to_string()]);
    document(command)
}
