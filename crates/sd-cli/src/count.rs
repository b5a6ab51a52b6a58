//! Arguments of `count`.

use std::path::PathBuf;

/// Arguments of `count`.
#[derive(Debug, Clone, clap::Args)]
pub struct CountArgs {
    /// Configurations
    #[arg(value_name = "CONFIG", required = true)]
    pub configs: Vec<PathBuf>,

    /// Set a value of the configurations, e.g. `-s model.exits.kind=scan` (may be repeated)
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Count every kind of exit with every attention in place of the configured exits, and print
    /// Markdown tables
    #[arg(long)]
    pub exits: bool,

    /// With `--exits`: add step times from this record of `bench exits --json`
    #[arg(long, value_name = "FILE", requires = "exits", conflicts_with = "json")]
    pub times: Option<PathBuf>,

    /// Print one JSON document, a list
    #[arg(long)]
    pub json: bool,
}
