//! libtorch, downloaded once per user and linked into each clone.
//!
//! pip downloads the wheels of Python's `torch`, which contain all of libtorch, because pip knows
//! the user's mirrors and proxies. The required files are unpacked into
//! `selfdistill/libtorch-2.11.0-cpu` in the user's cache. `.libtorch` in the clone links to that
//! folder, and `.cargo/config.toml` sets `LIBTORCH` to the link. If the user sets `LIBTORCH`, that
//! libtorch is used instead.

mod download;
mod installed;
mod link;
mod platform;
mod setup;
#[cfg(test)]
mod tests;
mod unpack;

pub use download::python;
pub use platform::Flavour;
pub use setup::{Setup, free_bytes};

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

/// Version of libtorch that `tch` requires.
pub const VERSION: &str = "2.11.0";

/// A libtorch that passed the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libtorch {
    /// Value of `LIBTORCH`.
    pub folder: PathBuf,
    /// Version stated by its files, e.g. `2.11.0+cpu`.
    pub version: String,
    /// Whether the user set `LIBTORCH`.
    pub set_by_user: bool,
}

impl Libtorch {
    /// Makes cargo, its build scripts and the linker use this libtorch.
    pub fn set_for(&self, cargo: &mut Command) {
        cargo.env("LIBTORCH", &self.folder);
    }

    /// Adds this libtorch to the dynamic loader's search path.
    pub fn set_loader_for(&self, command: &mut Command) {
        let name = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
        let mut folders = self.folder.join("lib").into_os_string();
        if let Some(others) = std::env::var_os(name).filter(|others| !others.is_empty()) {
            folders.push(":");
            folders.push(others);
        }
        command.env(name, folders);
    }
}

impl fmt::Display for Libtorch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "libtorch {} in {}", self.version, self.folder.display())?;
        if self.set_by_user {
            return write!(f, " (from LIBTORCH)");
        }
        match std::fs::read_link(&self.folder) {
            Ok(target) => write!(f, " -> {}", target.display()),
            Err(_) => Ok(()),
        }
    }
}
