//! Command-line arguments that several programs of this workspace share.
//!
//! `cargo xtask` parses the arguments of `train`, `eval`, `count` and their kin before it installs
//! libtorch and builds `sd-train`, so `--help` and a misspelt flag are answered at once. Both
//! programs take the types from here. The crate links neither libtorch nor any other crate of the
//! workspace.
//!
//! ```
//! use clap::Parser;
//! use sd_cli::{Cli, Command};
//!
//! let cli = Cli::parse_from(["sd-train", "train", "configs/quickstart.toml", "--seed", "1"]);
//! let Command::Train(args) = cli.command else { panic!("not `train`") };
//! assert_eq!(args.experiment.seed, Some(1));
//! ```
//!
//! Beside the arguments stand what the programs do with a configuration as plain TOML
//! ([`config_override`], [`config_difference`]) and the signals that stop them ([`signals`]).

pub mod bench;
pub mod config_difference;
pub mod config_override;
mod count;
mod eval;
mod export;
mod lr_range;
mod predict;
mod runtime;
pub mod signals;
mod train;
mod weights;

pub use bench::BenchArgs;
pub use count::CountArgs;
pub use eval::{EvalArgs, Split, WeightsChoice};
pub use export::{Calibration, Engine, ExportArgs, Int8};
pub use lr_range::LrRangeArgs;
pub use predict::{ExitArgs, PredictArgs};
pub use runtime::{DeviceChoice, RuntimeArgs};
pub use train::{ExperimentArgs, TrainArgs};
pub use weights::{StateDictFormat, WeightsCommand, WeightsExportArgs, WeightsImportArgs};

/// Trains, evaluates and counts image classifiers with exits.
#[derive(Debug, clap::Parser)]
#[command(name = "sd-train", version)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `sd-train`. `cargo xtask` has them too, beside its own.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Train a network, evaluate every exit and write a report
    Train(TrainArgs),
    /// Evaluate every exit, the ensemble and early exit of a finished run
    Eval(EvalArgs),
    /// Classify images with the weights of a finished run
    Predict(PredictArgs),
    /// Count parameters and multiply-accumulates of a network and of each exit
    Count(CountArgs),
    /// Print the configuration reference or its JSON schema
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Find a learning rate: train a few steps with a rate that grows at each step
    LrRange(LrRangeArgs),
    /// Export the network of a finished run as ONNX, which runs without libtorch
    Export(ExportArgs),
    /// Import and export weights of torchvision and timm
    #[command(subcommand)]
    Weights(WeightsCommand),
}

/// Forms in which the keys of a configuration are described.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub enum ConfigCommand {
    /// Print a JSON schema, for editors
    Schema,
    /// Print a reference of every key, in Markdown
    Reference,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        super::Cli::command().debug_assert();
    }
}
