//! Arguments of `eval`.

use std::path::PathBuf;

use crate::RuntimeArgs;

/// Arguments of `eval`.
#[derive(Debug, Clone, clap::Args)]
pub struct EvalArgs {
    /// Folder of a run
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// Split to evaluate on
    #[arg(long, value_enum, default_value_t = Split::Test)]
    pub split: Split,

    /// Weights to evaluate
    #[arg(long, value_enum, default_value_t = WeightsChoice::Last)]
    pub weights: WeightsChoice,

    /// Evaluate this exported file, or folder of a staged network, instead
    #[arg(long, value_name = "FILE", conflicts_with = "weights")]
    pub onnx: Option<PathBuf>,

    /// Engine that runs the exported file [default: the fastest that can]
    #[arg(long, value_enum, requires = "onnx")]
    pub engine: Option<Engine>,

    /// Evaluate although the images are not those of the training; the record says so
    #[arg(long)]
    pub other_images: bool,

    /// Write every exit's prediction for each image (per-image.csv) and, for the last weights, the
    /// most confident mistakes for the report (mistakes.json) into the run's folder
    #[arg(long, conflicts_with_all = ["onnx", "other_images"])]
    pub per_image: bool,

    /// Print one JSON document
    #[arg(long)]
    pub json: bool,

    /// Device, threads and data folder.
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// A split to evaluate on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// Test images; nothing is chosen on them
    Test,
    /// Validation images, held out of the training images
    Valid,
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

/// An engine of `sd-infer` that runs exported networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// This project's engine (sd-engine), for the networks that it exports
    #[value(alias = "own")]
    Native,
    /// rten, in pure Rust, for other networks
    Rten,
    /// ONNX Runtime; `ORT_DYLIB_PATH` names its library
    Ort,
}

/// Weights that a run saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WeightsChoice {
    /// After the last epoch
    Last,
    /// After the epoch with the best validation accuracy
    Best,
    /// Last checkpoint, of an interrupted run
    Checkpoint,
}
