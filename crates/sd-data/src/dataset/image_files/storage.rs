//! Where image files are kept during training.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the images are during training. Batches are the same, bit for bit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StorageConfig {
    /// In memory if they fit into `memory_gb` and the machine, otherwise as `stream`.
    #[default]
    Auto,
    /// In memory, decoded once at the start. An error if they do not fit.
    Memory,
    /// In their files: read and decoded for each batch, ahead of the training. A broken file is an
    /// error when it is reached, unless `skip_broken` or `normalize = "measured"` reads all files at
    /// the start.
    Stream,
    /// In a file that `data pack` wrote, relative to the data folder, or an absolute path. The image
    /// files themselves are not opened.
    Packed(String),
}

impl StorageConfig {
    pub(super) fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}
