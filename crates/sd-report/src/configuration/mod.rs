//! The configuration that a run was started with.

mod settings;

pub(crate) use settings::{Difference, Settings, entries, short_text};

use std::str::FromStr;

use toml::Table;

/// The resolved configuration of a run, parsed once when the run is opened.
///
/// ```
/// let config: sd_report::Configuration = "name = \"example\"\n[train]\nepochs = 1\n".parse()?;
/// assert!(config.text().ends_with("epochs = 1\n"));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    text: String,
    settings: Settings,
}

impl Configuration {
    /// Returns the TOML text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns everything but the name and the seed.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl FromStr for Configuration {
    type Err = toml::de::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut table: Table = toml::from_str(text)?;
        table.remove("name");
        table.remove("seed");
        Ok(Self { text: text.to_owned(), settings: Settings(table) })
    }
}
