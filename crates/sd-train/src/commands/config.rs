//! `config`: the keys of a configuration.

use anyhow::Result;
use sd_cli::{ConfigCommand, print};

use crate::experiment::{reference, schema};

/// Prints the JSON schema or the reference.
///
/// # Errors
/// If standard output cannot be written.
pub fn config(command: ConfigCommand) -> Result<()> {
    let text = match command {
        ConfigCommand::Schema => serde_json::to_string_pretty(&schema())?,
        ConfigCommand::Reference => reference(),
    };
    print(text.trim_end())
}
