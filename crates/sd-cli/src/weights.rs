//! Arguments of `weights`.

use std::path::PathBuf;

/// Direction in which weights are converted.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum WeightsCommand {
    /// Convert a state dict of torchvision or timm to weights of a configuration's network
    Import(WeightsImportArgs),
    /// Convert the weights of a run to a state dict that torchvision or timm loads; without exits
    Export(WeightsExportArgs),
}

/// Arguments of `weights import`.
#[derive(Debug, Clone, clap::Args)]
pub struct WeightsImportArgs {
    /// Configuration whose network has dense convolutions, no attention, and as many classes as
    /// the file. Exits are left out
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,

    /// State dict, as `safetensors.torch.save_file` writes it
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Library whose tensor names the file uses
    #[arg(long, value_enum)]
    pub from: StateDictFormat,

    /// Weights file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,

    /// Set a value of the configuration, e.g. `-s model.backbone.resnet.stem=large` (may be
    /// repeated)
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Arguments of `weights export`.
#[derive(Debug, Clone, clap::Args)]
pub struct WeightsExportArgs {
    /// Weights of a run, e.g. `runs/NAME-seed0/model.safetensors`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Library whose tensor names to use
    #[arg(long, value_enum)]
    pub to: StateDictFormat,

    /// State dict to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// A library, by the tensor names of its state dicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StateDictFormat {
    /// torchvision
    Torchvision,
    /// timm
    Timm,
}
