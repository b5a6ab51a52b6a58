//! Arguments of the benchmarks.

use std::path::PathBuf;

use crate::RuntimeArgs;

/// Configurations that `bench step`, `infer` and `peers` measure by default: each family of networks
/// dense and compressed, some with exits.
pub const STANDARD: [&str; 7] = [
    "configs/cifar100/vgg11-dense-plain.toml",
    "configs/cifar100/vgg11-grouped8-light.toml",
    "configs/cifar100/vgg11-grouped8-byot.toml",
    "configs/cifar100/vgg11-separable-plain.toml",
    "configs/cifar100/resnet18-dense-plain.toml",
    "configs/cifar100/resnet18-grouped8-light.toml",
    "configs/cifar100/resnet18-separable-light.toml",
];

/// A benchmark of this project's own code.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Bench {
    /// Measure the throughput of the loader, by pipeline or with the pipeline of CONFIG
    Data(BenchArgs),
    /// Measure the throughput of a training step and of its parts, on one batch in memory
    Step(BenchArgs),
    /// Measure the throughput of evaluation and the latency of each exit; if CONFIG is a run, the record
    /// is written to its folder
    Infer(BenchArgs),
    /// Measure the throughput of a training step without exits and with each kind of exit
    Exits(BenchArgs),
    /// Measure the time of an epoch relative to its steps, and of a self-distilled step to a plain one
    Overhead(BenchArgs),
    /// Measure the time from the start of a process to the end of its first training step
    Start(BenchArgs),
}

/// Arguments of a benchmark.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchArgs {
    /// Configurations to measure [default: a list for each benchmark]
    #[arg(value_name = "CONFIG")]
    pub configs: Vec<PathBuf>,

    /// Set a value of the configurations, e.g. `-s train.precision=f32` (may be repeated)
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Batch sizes [default: of the configuration; for latencies 1 and 64]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub batch: Vec<usize>,

    /// Duration of each measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,

    /// Print one JSON document, with the time of every repetition
    #[arg(long)]
    pub json: bool,

    /// Device, threads and data folder.
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// Parses a number of seconds from 0 to a day.
///
/// # Errors
/// What was found and expected.
pub fn seconds(text: &str) -> Result<f64, String> {
    let expected = || format!("found `{text}`, expected a number of seconds from 0 to 86400");
    let seconds: f64 = text.parse().map_err(|_| expected())?;
    if (0.0..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err(expected()) }
}
