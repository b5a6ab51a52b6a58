//! Arguments of `weights`.

use std::path::PathBuf;

/// Direction in which weights are converted.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum WeightsCommand {
    /// Convert a state dict of torchvision or timm to weights for the network of a configuration
    Import(WeightsImportArgs),
    /// Convert the weights of a run, without exits, to a state dict for torchvision or timm
    Export(WeightsExportArgs),
}

/// Arguments of `weights import`.
#[derive(Debug, Clone, clap::Args)]
pub struct WeightsImportArgs {
    /// Configuration of a network with dense convolutions, no attention, and as many classes as the
    /// file; its exits are ignored
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

/// Library whose tensor names a state dict uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StateDictFormat {
    /// Tensor names of torchvision
    Torchvision,
    /// Tensor names of timm
    Timm,
}
