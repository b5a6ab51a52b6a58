//! The workspace's folder, and cargo as it has to be started inside it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The folder of the workspace's `Cargo.toml`.
pub fn root() -> PathBuf {
    // `cargo run` says where the package is now; the compiler, where it was when this was built.
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().unwrap_or(&package).to_path_buf()
}

/// Cargo, in the user's current folder, on this workspace, with the environment that the user has.
pub fn cargo(subcommand: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_this_package) {
            cargo.env_remove(&name);
        }
    }
    cargo.arg(subcommand);
    // `cargo fmt` finds the workspace through the option too.
    cargo.arg("--manifest-path").arg(root().join("Cargo.toml"));
    cargo
}

/// Whether the `cargo run` that started this program set the variable, for this package alone.
fn is_of_this_package(name: &str) -> bool {
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
    fn the_root_holds_the_workspace() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn a_nested_cargo_keeps_what_the_user_set_and_forgets_this_package() {
        assert!(is_of_this_package("CARGO_PKG_NAME") && is_of_this_package("CARGO_MANIFEST_DIR"));
        for kept in ["CARGO_TARGET_DIR", "CARGO_HOME", "CARGO_BUILD_JOBS", "LIBTORCH", "PATH"] {
            assert!(!is_of_this_package(kept), "{kept}");
        }
    }
}
