//! The arguments of `predict`.

use std::path::PathBuf;

use super::{Place, Weights};

/// Arguments of `predict`.
#[derive(Debug, Clone, clap::Args)]
pub struct PredictArgs {
    /// Folder of a run
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// Images (JPEG, PNG, WebP), or folders of them
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,

    /// Classes to name, the most probable first
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub top: u32,

    /// Which exit classifies
    #[command(flatten)]
    pub exit: ExitArgs,

    /// Which weights: of the last epoch, or of the best epoch on the validation split
    #[arg(long, value_enum, default_value_t = Weights::Last)]
    pub weights: Weights,

    /// Print a JSON document a line
    #[arg(long)]
    pub json: bool,

    /// Where it computes, and where the images are
    #[command(flatten)]
    pub place: Place,
}

/// Which exit classifies an image: by default the deepest.
#[derive(Debug, Clone, clap::Args)]
#[group(multiple = false)]
pub struct ExitArgs {
    /// This one: exit1, exit2, …, deepest, or the ensemble [default: deepest]
    #[arg(long, value_name = "NAME")]
    pub exit: Option<String>,

    /// The first with at least this probability, 0 to 1
    #[arg(long, value_name = "P")]
    pub confidence: Option<f32>,

    /// The first with at most this share of the largest entropy, 0 to 1
    #[arg(long, value_name = "SHARE")]
    pub entropy: Option<f32>,

    /// The first where this many exits one after another agree with the one before
    #[arg(long, value_name = "N")]
    pub patience: Option<usize>,
}
