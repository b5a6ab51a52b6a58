//! The command line of `sd-train`.
//!
//! A file that depends on clap alone: `xtask` compiles it too, so that `cargo xtask train --help`
//! and a misspelt flag are answered at once, before libtorch is fetched and the workspace built.

use std::path::PathBuf;
use std::str::FromStr;

// The paths are for `xtask`, for which this file has another name.
#[path = "cli/lr_range.rs"]
pub mod lr_range;
#[path = "cli/onnx.rs"]
pub mod onnx;
#[path = "cli/predict.rs"]
pub mod predict;

use lr_range::LrRangeArgs;
use onnx::{Engine, OnnxArgs};
use predict::PredictArgs;
use std::time::Duration;

/// Trains, evaluates and counts image classifiers with exits.
#[derive(Debug, clap::Parser)]
#[command(name = "sd-train", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub program: Program,
}

/// What `sd-train` does. `xtask` has the same commands, and benchmarks of its own beside these.
#[derive(Debug, clap::Subcommand)]
pub enum Program {
    /// A command.
    #[command(flatten)]
    Command(Command),
    /// Measure speed and memory
    #[command(subcommand)]
    Bench(Bench),
}

/// The commands of `sd-train`, its benchmarks apart.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Train a network, evaluate every exit and write the run's report
    Train(TrainArgs),
    /// Evaluate every exit, the ensemble and early exit of a finished run, from its saved weights
    Eval(EvalArgs),
    /// Classify images with a finished run's weights
    Predict(PredictArgs),
    /// Count parameters and multiply-accumulates: network, framework and each exit alone
    Count(CountArgs),
    /// Say what may stand in a configuration
    #[command(subcommand)]
    Config(ConfigText),
    /// Look for a learning rate: a few steps from a very low rate to a very high one, without the schedule
    LrRange(LrRangeArgs),
    /// Write a finished run's network as ONNX, which runs without libtorch
    Export(OnnxArgs),
    /// Read the weights of torchvision and timm, and write them
    #[command(subcommand)]
    Weights(Exchange),
}

/// What `bench step`, `infer` and `peers` measure unless they are told: each family dense, and
/// compressed in each way, some with exits.
pub const STANDARD: [&str; 7] = [
    "configs/cifar100/vgg11-dense-plain.toml",
    "configs/cifar100/vgg11-grouped8-light.toml",
    "configs/cifar100/vgg11-grouped8-byot.toml",
    "configs/cifar100/vgg11-separable-plain.toml",
    "configs/cifar100/resnet18-dense-plain.toml",
    "configs/cifar100/resnet18-grouped8-light.toml",
    "configs/cifar100/resnet18-separable-light.toml",
];

/// What a benchmark measures.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Bench {
    /// Images a second of the loader, by pipeline; CONFIG measures a configuration's own loader
    Data(BenchArgs),
    /// Images a second of a training step, whole and by part, on a batch that is there already
    Step(BenchArgs),
    /// Images a second of an evaluation, and each exit's latency; a run's folder as CONFIG keeps them
    Infer(BenchArgs),
    /// Images a second of a training step without exits, and with each kind of exit in turn
    Exits(BenchArgs),
    /// An epoch over its bare steps, and a self-distilled step over a plain one
    Overhead(BenchArgs),
    /// A process from its start to the end of its first step
    Start(BenchArgs),
}

/// Arguments of a benchmark.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchArgs {
    /// Experiments [default: a standard list, or what needs no download]
    #[arg(value_name = "CONFIG")]
    pub configs: Vec<PathBuf>,

    /// Set a value of the configurations, e.g. `-s train.precision=f32` (may be repeated)
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Images a batch, in turn [default: the configuration's; each exit's latency at 1 and 64]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub batch: Vec<usize>,

    /// Seconds that each measurement repeats for
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,

    /// Print one JSON document, with every repetition's time
    #[arg(long)]
    pub json: bool,

    /// Where it computes, and where the images are
    #[command(flatten)]
    pub place: Place,
}

/// Seconds from 0 to a day.
fn seconds(text: &str) -> Result<f64, String> {
    let expected = || format!("found `{text}`, expected a number of seconds from 0 to 86400");
    let seconds: f64 = text.parse().map_err(|_| expected())?;
    if (0.0..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err(expected()) }
}

/// Where a command computes and where it finds its images; no part of a run's configuration.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// Folder that holds the data sets
    #[arg(long, value_name = "DIR", env = "SD_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,

    /// Device: `auto` takes the first CUDA device there is, else the CPU
    #[arg(long, value_name = "auto|cpu|cuda:N", default_value = "auto")]
    pub device: DeviceChoice,

    /// Threads for computing and, apart from them, for loading images [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
}

impl Place {
    /// Threads asked for, or all cores.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        self.threads.map_or_else(cores, usize::from)
    }
}

/// An experiment, as a file and changes of it.
#[derive(Debug, Clone, clap::Args)]
pub struct ExperimentArgs {
    /// The experiment
    #[arg(value_name = "CONFIG", default_value = "configs/quickstart.toml")]
    pub config: PathBuf,

    /// Set a value of the configuration, e.g. `-s train.epochs=5` (may be repeated)
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Seed, in place of the configuration's
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Arguments of `train`.
#[derive(Debug, Clone, clap::Args)]
pub struct TrainArgs {
    /// What is trained
    #[command(flatten)]
    pub experiment: ExperimentArgs,

    /// Folder of the run [default: runs/NAME-seedN]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Go on from the last checkpoint in the run's folder
    #[arg(long)]
    pub resume: bool,

    /// Take one step, print what the run would be and would cost, and write nothing
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,

    /// Train on this many images alone, without augmentation, and evaluate on the same: a check
    /// that the network can learn at all. Give it enough epochs, e.g. `-s train.epochs=100`
    #[arg(long, value_name = "N")]
    pub overfit: Option<usize>,

    /// Stop after this many steps in all, as if interrupted; `--resume` goes on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_steps: Option<u64>,

    /// Stop after this time, e.g. `90m` or `1h30m`, as if interrupted; `--resume` goes on
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub time_limit: Option<Duration>,

    /// Write a checkpoint at least this often, and after each epoch
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    pub checkpoint_every: Duration,

    /// Where it computes, and where the images are
    #[command(flatten)]
    pub place: Place,
}

/// What a configuration may hold, in which form.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub enum ConfigText {
    /// Print a JSON schema, for editors
    Schema,
    /// Print a reference of every key as Markdown
    Reference,
}

/// Arguments of `eval`.
#[derive(Debug, Clone, clap::Args)]
pub struct EvalArgs {
    /// Folder of a run
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// Which images to evaluate on
    #[arg(long, value_enum, default_value_t = Split::Test)]
    pub split: Split,

    /// Which weights: of the last epoch, or of the best epoch on the validation split
    #[arg(long, value_enum, default_value_t = Weights::Last)]
    pub weights: Weights,

    /// Evaluate this exported file, or the folder of a staged network, instead
    #[arg(long, value_name = "FILE", conflicts_with = "weights")]
    pub onnx: Option<PathBuf>,

    /// What runs the exported file [default: the fastest that can]
    #[arg(long, value_enum, requires = "onnx")]
    pub engine: Option<Engine>,

    /// Print one JSON document
    #[arg(long)]
    pub json: bool,

    /// Where it computes, and where the images are
    #[command(flatten)]
    pub place: Place,
}

/// Arguments of `count`.
#[derive(Debug, Clone, clap::Args)]
pub struct CountArgs {
    /// Experiments
    #[arg(value_name = "CONFIG", required = true)]
    pub configs: Vec<PathBuf>,

    /// Set a value of the configurations, e.g. `-s model.exits.kind=scan` (may be repeated)
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Count every kind of exit, with every attention, in the places of the configured ones, and
    /// print Markdown tables
    #[arg(long)]
    pub exits: bool,

    /// With `--exits`: a record of `bench exits --json`, whose steps the tables then have too
    #[arg(long, value_name = "FILE", requires = "exits", conflicts_with = "json")]
    pub times: Option<PathBuf>,

    /// Print one JSON document, a list
    #[arg(long)]
    pub json: bool,
}

/// Which way weights go.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Exchange {
    /// Write a state dict of torchvision or timm as weights of a configuration's network
    Import(ImportArgs),
    /// Write a run's weights as a state dict that torchvision or timm loads; without exits
    Export(ExportArgs),
}

/// Arguments of `weights import`.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportArgs {
    /// The experiment; its network has dense convolutions, no attention, and as many classes as
    /// the file. Exits are left out
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,

    /// A `state_dict()` that `safetensors.torch.save_file` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Whose names the tensors have
    #[arg(long, value_enum)]
    pub from: StateDict,

    /// The weights to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,

    /// Set a value of the configuration, e.g. `-s model.backbone.resnet.stem=large` (may be
    /// repeated)
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Arguments of `weights export`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// Weights of a run, e.g. `runs/NAME-seed0/model.safetensors`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Whose names the tensors are to have
    #[arg(long, value_enum)]
    pub to: StateDict,

    /// The state dict to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Whose names the tensors of a state dict have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StateDict {
    /// torchvision's
    Torchvision,
    /// timm's
    Timm,
}

impl Split {
    /// Its name in records, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Valid => "valid",
        }
    }
}

/// A split to evaluate on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// The test images, which choose nothing
    Test,
    /// The validation images, held out of the training images
    Valid,
}

/// Weights that a run saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Weights {
    /// After the last epoch
    Last,
    /// After the epoch that was best on the validation split
    Best,
}

/// A device as written on the command line, and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device there is, else the CPU
    Auto,
    /// The CPU
    Cpu,
    /// The CUDA device of this index
    Cuda(usize),
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("found `{text}`, expected `auto`, `cpu` or `cuda:N`")),
        }
    }
}
