//! `bench deploy`: sizes, start time, latency, throughput and memory of exported networks.

mod export;
mod measure;
mod programs;
mod start;

use crate::libtorch::{Libtorch, Setup};
use crate::{atomic_write, run};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use export::Exported;
use programs::Programs;
use sd_cli::bench::seconds;
use sd_cli::{Engine, print};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Folder of a run's test images.
const IMAGES: &str = "images";

/// Arguments of `bench deploy`.
#[derive(Debug, clap::Args)]
pub struct DeployArgs {
    /// Folders of runs, which are measured in turns
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,

    /// Number of test images to measure on
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1000))]
    images: u16,

    /// Engines to measure
    #[arg(long, value_enum, value_name = "ENGINE,…", value_delimiter = ',', default_values_t = [Engine::Native, Engine::Rten, Engine::Ort])]
    engines: Vec<Engine>,

    /// Numbers of threads to measure with
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 2], value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Vec<u16>,

    /// Batch sizes to measure with, at most the number of images
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 64], value_parser = clap::value_parser!(u16).range(1..))]
    batch: Vec<u16>,

    /// Number of repetitions of all measurements
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Duration of each measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,

    /// Folder that holds the data sets
    #[arg(long, value_name = "DIR", env = "SD_DATA_DIR", default_value = "data")]
    data_dir: PathBuf,

    /// Python with torch and torchvision, to measure PyTorch too
    #[arg(long, value_name = "PATH", env = "SD_PEERS_PYTHON")]
    python: Option<PathBuf>,
}

/// A run with its exports and measurements.
#[derive(Debug)]
struct Deployed<'a> {
    run: &'a Path,
    files: Vec<Exported>,
    /// Sizes and accuracies of the files, for `deploy.json`.
    models: Vec<Value>,
    images: PathBuf,
    rounds: Vec<Value>,
}

/// Exports the runs in every form and scores them. Then measures each file in each engine, libtorch
/// and PyTorch, round by round, and writes `deploy.json` in the folder of each run.
pub fn deploy(args: &DeployArgs, setup: &Setup, libtorch: &Libtorch) -> Result<ExitCode> {
    ensure!(
        !args.engines.contains(&Engine::Ort) || std::env::var_os("ORT_DYLIB_PATH").is_some(),
        "ORT_DYLIB_PATH names no library of ONNX Runtime; `--engines native,rten` needs none"
    );
    let folder = tempfile::tempdir()?;
    let of_run = |index: usize| folder.path().join(index.to_string());
    let sd_data = run::build(&run::SD_DATA, None)?;
    // Of all runs first: exporting takes minutes.
    for (index, run) in args.runs.iter().enumerate() {
        let images = write_samples(args, &sd_data, run, &of_run(index).join(IMAGES))?;
        check_batches(&args.batch, images).with_context(|| run.display().to_string())?;
    }
    let programs = Programs::build(args, setup, libtorch, folder.path())?;
    let mut all = Vec::new();
    for (index, run) in args.runs.iter().enumerate() {
        let folder = of_run(index);
        let (files, models) = export::export(args, &programs, run, &folder)?;
        let images = folder.join(IMAGES);
        all.push(Deployed { run, files, models, images, rounds: Vec::new() });
    }
    let program_bytes = fs::metadata(&programs.sd_infer)?.len();
    for round in 1..=args.rounds {
        for deployed in &mut all {
            eprintln!("round {round} of {}: {}", args.rounds, deployed.run.display());
            deployed.rounds.push(measure::round(args, &programs, deployed)?);
            let document = json!({
                "schema_version": 1,
                "command": super::command_line(),
                "program_bytes": program_bytes,
                "models": deployed.models,
                "rounds": deployed.rounds,
            });
            // Written after each round, to keep the measurements after an interrupt.
            atomic_write::write(&output(deployed.run), &serde_json::to_vec(&document)?)?;
        }
    }
    for deployed in &all {
        print(output(deployed.run).display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes test images of a run and returns their number, which may be smaller than requested.
fn write_samples(args: &DeployArgs, sd_data: &Path, run: &Path, out: &Path) -> Result<usize> {
    fs::create_dir_all(out)?;
    let mut samples = Command::new(sd_data);
    samples.arg("samples").arg(run.join("config.toml")).arg("--out").arg(out);
    samples.args(["--images", &args.images.to_string()]).arg("--data-dir").arg(&args.data_dir);
    run::finish(&mut samples)?;
    Ok(fs::read_dir(out)?.count())
}

/// `sd-infer --bench` needs the images of at least one batch.
fn check_batches(batches: &[u16], images: usize) -> Result<()> {
    let largest = batches.iter().copied().max().unwrap_or(1);
    ensure!(
        usize::from(largest) <= images,
        "--batch: found {largest}, expected at most {images}, the number of images (--images)"
    );
    Ok(())
}

/// File that `cargo xtask report` reads.
fn output(run: &Path) -> PathBuf {
    run.join("deploy.json")
}

/// Name of an engine on the command line.
fn name(engine: Engine) -> String {
    engine.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_at_most_all_images() {
        assert!(check_batches(&[1, 64], 64).is_ok());
        let error = check_batches(&[64, 1], 63).unwrap_err().to_string();
        let expected = "--batch: found 64, expected at most 63, the number of images (--images)";
        assert_eq!(error, expected);
    }
}
