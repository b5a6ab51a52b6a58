//! Exported files of a run, with their sizes and accuracies.

use super::programs::Programs;
use super::{DeployArgs, name};
use crate::bench::document;
use crate::run;
use anyhow::{Context, Result, ensure};
use sd_cli::Engine;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Texts of the native engine's errors about networks that it does not support.
const NO_KERNEL: [&str; 3] = ["no native kernel", "unsupported input shapes", "unsupported graph"];

/// An exported file, or the folder of a staged network.
#[derive(Debug)]
pub struct Exported {
    pub name: String,
    pub path: PathBuf,
    /// Form of its 8-bit convolutions.
    int8: Option<&'static str>,
}

impl Exported {
    /// The engines that compute this form as intended.
    pub fn engines(&self, args: &DeployArgs) -> impl Iterator<Item = Engine> {
        let int8 = self.int8;
        args.engines.iter().copied().filter(move |&engine| match int8 {
            None => true,
            Some("qdq") => engine == Engine::Ort,
            Some(_) => engine != Engine::Ort,
        })
    }

    /// Returns the JSON document that a command prints for this file in an engine, or `None` if the
    /// engine does not support the file. Standard error is passed through at the end.
    pub fn document(&self, command: &mut Command, engine: Engine) -> Result<Option<Value>> {
        let output = command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let messages = String::from_utf8_lossy(&output.stderr);
        eprint!("{messages}");
        if output.status.success() {
            let document = serde_json::from_slice(&output.stdout);
            return document.with_context(|| format!("{command:?} printed no JSON")).map(Some);
        }
        ensure!(
            is_unsupported(engine, self.int8.is_some(), &messages),
            "{command:?} failed ({})",
            output.status
        );
        eprintln!("{}: not supported by {}", self.name, name(engine));
        Ok(None)
    }

    fn bytes(&self) -> Result<u64> {
        if !self.path.is_dir() {
            return Ok(fs::metadata(&self.path)?.len());
        }
        fs::read_dir(&self.path)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
    }
}

/// Whether a command that failed with these messages may have met an engine without support: no
/// engine runs every 8-bit convolution, and the native one does not run every network.
fn is_unsupported(engine: Engine, is_int8: bool, messages: &str) -> bool {
    match engine {
        Engine::Native => NO_KERNEL.iter().any(|text| messages.contains(text)),
        Engine::Rten | Engine::Ort => is_int8,
    }
}

/// The names of the exports of a network with these exits, and the arguments that make them.
fn kinds(exits: &[Value]) -> Vec<(&str, Vec<&str>)> {
    let names = exits.iter().filter_map(|exit| exit["name"].as_str());
    let mut kinds: Vec<_> = names.map(|name| (name, vec!["--exit", name])).collect();
    if let [first, .., deepest] = exits {
        kinds.push(("ensemble", vec!["--all"]));
        kinds.push(("staged", vec!["--staged"]));
        let macs = |exit: &Value| exit["macs"].as_u64().unwrap_or_default();
        // The first exit is the least that early exit can cost.
        if 2 * macs(first) <= macs(deepest) {
            kinds.push(("half", vec!["--staged", "--budget", "50"]));
        }
    }
    kinds
}

/// Exports every exit, and with several exits their ensemble and the staged network, each in `f32` and in both
/// 8-bit forms. Returns the files, and their sizes and test accuracies.
pub fn export(
    args: &DeployArgs,
    programs: &Programs,
    run: &Path,
    folder: &Path,
) -> Result<(Vec<Exported>, Vec<Value>)> {
    let config = run.join("config.toml");
    let counted = document(Command::new(&programs.sd_train).args(["count", "--json"]).arg(config))?;
    let exits = counted[0]["exits"].as_array().context("`count` printed no exits")?;
    let (mut files, mut models) = (Vec::new(), Vec::new());
    for (kind, arguments) in &kinds(exits) {
        for int8 in [None, Some("qdq"), Some("convinteger")] {
            let name = int8.map_or_else(|| (*kind).to_owned(), |form| format!("{kind}-{form}"));
            let staged = arguments.contains(&"--staged");
            let path = folder.join(if staged { name.clone() } else { format!("{name}.onnx") });
            let mut command = Command::new(&programs.sd_train);
            command.arg("export").arg(run).args(arguments).arg("--out").arg(&path);
            command.arg("--data-dir").arg(&args.data_dir);
            if let Some(form) = int8 {
                command.args(["--int8", form]);
            }
            run::finish(&mut command)?;
            let exported = Exported { name, path, int8 };
            match score(args, programs, run, &exported)? {
                Some(model) => {
                    models.push(model);
                    files.push(exported);
                }
                None => eprintln!("{}: no engine supports it", exported.name),
            }
        }
    }
    Ok((files, models))
}

/// Size and test accuracy: of the deepest exit in every intended engine, of the others in the first
/// that supports the file. Returns `None` if no engine does.
fn score(
    args: &DeployArgs,
    programs: &Programs,
    run: &Path,
    exported: &Exported,
) -> Result<Option<Value>> {
    let wanted = if exported.name.starts_with("deepest") { args.engines.len() } else { 1 };
    let (mut top1, mut macs_share) = (serde_json::Map::new(), None);
    for engine in exported.engines(args) {
        if top1.len() == wanted {
            break;
        }
        let mut eval = Command::new(&programs.sd_train);
        eval.arg("eval").arg(run).arg("--onnx").arg(&exported.path).arg("--json");
        eval.args(["--engine", &name(engine)]).arg("--data-dir").arg(&args.data_dir);
        let Some(score) = exported.document(&mut eval, engine)? else { continue };
        top1.insert(name(engine), score["top1"].clone());
        macs_share = Some(score["macs_share"].clone());
    }
    let Some(macs_share) = macs_share else { return Ok(None) };
    Ok(Some(json!({
        "name": exported.name,
        "bytes": exported.bytes()?,
        "top1": top1,
        "macs_share": macs_share,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn of_the_native_engine_only_a_missing_kernel_is_tolerated() {
        let missing = "error: native: Add add_1_node: no native kernel\n";
        assert!(is_unsupported(Engine::Native, false, missing));
        for other in ["error: native: panicked: index out of bounds\n", ""] {
            assert!(!is_unsupported(Engine::Native, false, other));
            assert!(!is_unsupported(Engine::Native, true, other));
        }
        assert!(!is_unsupported(Engine::Rten, false, missing));
        assert!(is_unsupported(Engine::Ort, true, "error: ort: …"));
    }

    #[test]
    fn what_early_exit_cannot_cost_is_not_exported() {
        let names = |first_macs| -> Vec<String> {
            let exits = [
                json!({ "name": "exit1", "macs": first_macs }),
                json!({ "name": "deepest", "macs": 100 }),
            ];
            kinds(&exits).into_iter().map(|(name, _)| name.to_owned()).collect()
        };
        assert_eq!(names(50), ["exit1", "deepest", "ensemble", "staged", "half"]);
        assert_eq!(names(51), ["exit1", "deepest", "ensemble", "staged"]);
        let single = [json!({ "name": "deepest", "macs": 100 })];
        assert_eq!(kinds(&single), [("deepest", vec!["--exit", "deepest"])]);
    }

    #[test]
    fn the_native_engine_has_these_errors() {
        let errors = workspace::root().join("crates/sd-engine/src/error.rs");
        let errors = fs::read_to_string(errors).unwrap();
        for text in NO_KERNEL {
            assert!(errors.contains(text), "{text}");
        }
    }
}
