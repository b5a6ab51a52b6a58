//! Arguments that name an experiment.

use std::path::PathBuf;

/// A configuration file and changes to it.
#[derive(Debug, Clone, clap::Args)]
pub struct ExperimentArgs {
    /// Configuration file
    #[arg(value_name = "CONFIG", default_value = "configs/quickstart.toml")]
    pub config: PathBuf,

    /// Set a value of the configuration, e.g. `-s train.epochs=5`, or remove one, e.g. `-s ~train.ema`
    /// (may be repeated)
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Seed, in place of the configuration's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
}
