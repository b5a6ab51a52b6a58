//! libtorch: fetched once a user, linked into each clone.
//!
//! The wheels of Python's `torch` hold all of libtorch, and pip knows the user's mirrors and
//! proxies, so pip fetches them. What is needed of them is unpacked into
//! `selfdistill/libtorch-2.11.0-cpu` inside the user's cache, which `.libtorch` in the clone points
//! to and `.cargo/config.toml` names as `LIBTORCH`. A `LIBTORCH` of the user's own wins.

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
#[cfg(test)]
pub use platform::Platform;
pub use setup::{Setup, free_bytes};

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

/// The version that `tch` goes with.
pub const VERSION: &str = "2.11.0";

/// A libtorch that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libtorch {
    /// What `LIBTORCH` has to say.
    pub folder: PathBuf,
    /// As its files say it, e.g. `2.11.0+cpu`.
    pub version: String,
    /// Whether `LIBTORCH` was set by the user.
    pub of_user: bool,
}

impl Libtorch {
    /// Makes cargo, its build scripts and the linker use this libtorch.
    pub fn set_for(&self, cargo: &mut Command) {
        cargo.env("LIBTORCH", &self.folder);
    }

    /// Makes what the command starts find this libtorch when it is loaded.
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
        if self.of_user {
            return write!(f, " (from LIBTORCH)");
        }
        match std::fs::read_link(&self.folder) {
            Ok(target) => write!(f, " -> {}", target.display()),
            Err(_) => Ok(()),
        }
    }
}
