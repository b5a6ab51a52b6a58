//! Command-line arguments that several programs of this workspace share.
//!
//! `cargo xtask` parses the arguments of `train`, `eval`, `count` and the others before it installs
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
//! The crate also has functions for configurations as plain TOML ([`config_override`],
//! [`config_difference`]) and the signals that stop a program ([`signals`]).

pub mod bench;
mod config;
pub mod config_difference;
pub mod config_override;
mod count;
mod eval;
mod experiment;
mod export;
mod lr_range;
mod output;
mod predict;
mod runtime;
pub mod signals;
mod train;
mod weights;

pub use bench::BenchArgs;
pub use config::ConfigCommand;
pub use count::CountArgs;
pub use eval::{Engine, EvalArgs, Split, WeightsChoice};
pub use experiment::ExperimentArgs;
pub use export::{Calibration, ExportArgs, ExportFormat, Int8};
pub use lr_range::LrRangeArgs;
pub use output::print;
pub use predict::{ExitArgs, PredictArgs};
pub use runtime::{DeviceChoice, RuntimeArgs};
pub use train::TrainArgs;
pub use weights::{StateDictFormat, WeightsCommand, WeightsExportArgs, WeightsImportArgs};

/// Trains, evaluates and exports image classifiers with early exits.
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
    /// Find a learning rate: train a few steps with a rate that grows with each step
    LrRange(LrRangeArgs),
    /// Export the network of a finished run as ONNX, which runs without libtorch
    Export(ExportArgs),
    /// Import and export weights of torchvision and timm
    #[command(subcommand)]
    Weights(WeightsCommand),
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_definitions_are_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let parse = |line: &str| super::Cli::try_parse_from(line.split_whitespace());
        for (option, expected) in [
            ("--threads 100000", "100000 is not in 1..=1024"),
            ("--seed 9223372036854775808", "9223372036854775808 is not in"),
        ] {
            let error = parse(&format!("sd-train train a.toml {option}")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn images_and_a_configuration_exclude_each_other() {
        let parse = |line: &str| super::Cli::try_parse_from(line.split_whitespace());
        assert!(parse("sd-train train --images pets --seed 1 --dry-run").is_ok());
        let error = parse("sd-train train a.toml --images pets").unwrap_err().to_string();
        assert!(error.contains("cannot be used with '--images <FOLDER>'"), "{error}");
    }
}
