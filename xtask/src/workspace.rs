//! The root of the workspace, and cargo commands in it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Folder of the workspace's `Cargo.toml`.
pub fn root() -> PathBuf {
    // `cargo run` sets the current path of the package; the compiler knows the path at build time.
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().unwrap_or(&package).to_path_buf()
}

/// A cargo command on this workspace, in the user's current folder and with the user's environment.
pub fn cargo(subcommand: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_set_by_cargo_run) {
            cargo.env_remove(&name);
        }
    }
    cargo.arg(subcommand);
    cargo.arg("--manifest-path").arg(root().join("Cargo.toml"));
    cargo
}

/// Whether `cargo run` sets the variable for xtask; a nested cargo must not inherit it.
fn is_set_by_cargo_run(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || matches!(
            name,
            "CARGO_MANIFEST_DIR"
                | "CARGO_MANIFEST_PATH"
                | "CARGO_BIN_NAME"
                | "CARGO_CRATE_NAME"
                | "CARGO_PRIMARY_PACKAGE"
                | "OUT_DIR"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_contains_the_workspace_manifest() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn a_nested_cargo_inherits_only_variables_of_the_user() {
        assert!(is_set_by_cargo_run("CARGO_PKG_NAME") && is_set_by_cargo_run("CARGO_MANIFEST_DIR"));
        for kept in ["CARGO_TARGET_DIR", "CARGO_HOME", "CARGO_BUILD_JOBS", "LIBTORCH", "PATH"] {
            assert!(!is_set_by_cargo_run(kept), "{kept}");
        }
    }
}
