//! Arguments that name an experiment.

use std::path::PathBuf;

/// A configuration file, or a folder of images, and changes to the configuration.
#[derive(Debug, Clone, clap::Args)]
pub struct ExperimentArgs {
    /// Configuration file
    #[arg(value_name = "CONFIG", default_value = "configs/quickstart.toml")]
    pub config: PathBuf,

    /// Folder of images, in place of a configuration: CLASS/IMAGE, or train/CLASS/IMAGE with optional
    /// val/ and test/. Splits, size, network and length are chosen; `train` writes them to config.toml
    /// in the run's folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    pub images: Option<PathBuf>,

    /// Set a value of the configuration, e.g. `-s train.epochs=5`, or remove one, e.g. `-s ~train.ema`
    /// (may be repeated)
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Seed, in place of the configuration's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
}
