//! Directions of dependencies between the crates.

use crate::workspace;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Our crates, which of ours each may use, and whether it may use `tch`.
const ALLOWED: [(&str, &[&str], bool); 16] = [
    ("sd-variants", &[], false),
    ("sd-onnx", &[], false),
    ("sd-weights", &[], false),
    ("sd-golden", &[], true),
    ("sd-image", &[], false),
    ("sd-report", &[], false),
    ("sd-cli", &[], false),
    ("sd-distributed", &[], true),
    ("sd-layers", &["sd-onnx", "sd-variants"], true),
    ("sd-models", &["sd-layers", "sd-onnx", "sd-variants", "sd-weights"], true),
    ("sd-data", &["sd-image", "sd-cli", "sd-variants"], false),
    ("sd-engine", &["sd-onnx"], false),
    ("sd-infer", &["sd-engine", "sd-onnx", "sd-image"], false),
    (
        "sd-train",
        &[
            "sd-layers",
            "sd-models",
            "sd-data",
            "sd-distributed",
            "sd-report",
            "sd-onnx",
            "sd-infer",
            "sd-cli",
            "sd-variants",
        ],
        true,
    ),
    ("sd-bench", &["sd-layers", "sd-models", "sd-data", "sd-report", "sd-train", "sd-cli"], true),
    ("xtask", &["sd-cli"], false),
];

/// Cargo's metadata of the packages.
pub fn metadata() -> Result<Value> {
    let output = workspace::cargo("metadata")
        .args(["--no-deps", "--format-version=1", "--offline"])
        .output()
        .context("cannot start cargo")?;
    let messages = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`cargo metadata` failed: {}", messages.trim());
    serde_json::from_slice(&output.stdout).context("`cargo metadata` printed no JSON")
}

/// Dependencies in the wrong direction, one per line. Dev-dependencies may have any direction.
pub fn wrong_directions(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, ours, tch)) = ALLOWED.iter().find(|(known, ..)| *known == name) else {
            found.push(format!(
                "{name}: a new crate; list its dependencies in xtask/src/tidy/crates.rs"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = dependency["name"].as_str().unwrap_or_default();
            let is_ours = ALLOWED.iter().any(|(known, ..)| *known == used);
            let is_tensor = matches!(used, "tch" | "torch-sys");
            let wrong = is_ours && !ours.contains(&used) || is_tensor && !tch;
            if wrong && dependency["kind"] != "dev" {
                found.push(format!("{name}: may not depend on {used} (docs/architecture.md)"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(name: &str, used: &str, kind: Value) -> Vec<String> {
        let dependencies = [json!({"name": used, "kind": kind})];
        wrong_directions(&json!({"packages": [{"name": name, "dependencies": dependencies}]}))
    }

    #[test]
    fn dependencies_in_the_wrong_direction_are_found() {
        assert!(of("sd-models", "sd-layers", Value::Null).is_empty());
        assert!(of("sd-layers", "tch", Value::Null).is_empty());
        for (name, used) in [
            ("sd-layers", "sd-models"),
            ("sd-models", "sd-data"),
            ("sd-report", "tch"),
            ("sd-data", "torch-sys"),
            ("xtask", "sd-data"),
        ] {
            assert!(of(name, used, Value::Null)[0].contains(used), "{name} -> {used}");
            assert!(of(name, used, json!("build"))[0].contains(used), "{name} -> {used}");
        }
    }

    #[test]
    fn dev_dependencies_may_have_any_direction() {
        assert!(of("sd-bench", "sd-train", json!("dev")).is_empty());
    }

    #[test]
    fn a_new_crate_must_be_listed() {
        assert!(of("sd-core", "serde", Value::Null)[0].contains("new crate"));
    }

    #[test]
    fn every_listed_crate_exists() {
        let metadata = metadata().unwrap();
        assert_eq!(metadata["packages"].as_array().unwrap().len(), ALLOWED.len());
    }
}
