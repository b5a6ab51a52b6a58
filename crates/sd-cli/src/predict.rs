//! Arguments of `predict`.

use std::path::PathBuf;

use crate::{RuntimeArgs, WeightsChoice};

/// Arguments of `predict`.
#[derive(Debug, Clone, clap::Args)]
pub struct PredictArgs {
    /// Folder of a run
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// Images (JPEG, PNG, WebP, BMP, GIF), or folders of them
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,

    /// Number of classes to print, most probable first
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub top: u32,

    /// Exit that classifies.
    #[command(flatten)]
    pub exit: ExitArgs,

    /// Weights to use
    #[arg(long, value_enum, default_value_t = WeightsChoice::Last)]
    pub weights: WeightsChoice,

    /// Print one JSON document per line
    #[arg(long)]
    pub json: bool,

    /// Device, threads and data folder.
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// The exit that classifies an image. Default: the deepest.
#[derive(Debug, Clone, clap::Args)]
#[group(multiple = false)]
pub struct ExitArgs {
    /// Use this exit: exit1, exit2, …, deepest or ensemble [default: deepest]
    #[arg(long, value_name = "NAME")]
    pub exit: Option<String>,

    /// Use the first exit whose highest probability is at least P, 0 to 1
    #[arg(long, value_name = "P")]
    pub confidence: Option<f32>,

    /// Use the first exit whose entropy is at most this share of the maximum, 0 to 1
    #[arg(long, value_name = "SHARE")]
    pub entropy: Option<f32>,

    /// Use the first exit at which N exits in a row agree with the exit before
    #[arg(long, value_name = "N")]
    pub patience: Option<usize>,
}
