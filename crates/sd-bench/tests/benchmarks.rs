//! The benchmarks on a small experiment: their output and records.

use std::path::Path;

use assert_cmd::Command;
use assert_cmd::assert::Assert;

/// Synthetic images, and a narrow network with two exits.
const TINY: &str = r#"
name = "tiny"
seed = 3

[data]
dataset = { synthetic = { classes = 4, train = 96, test = 32, channels = 1, height = 32, width = 32, seed = 0 } }

[model.backbone.vgg]
depth = 11
head = "linear"
width = 0.125
conv = { grouped = { groups = 8 } }
attention = "none"

[model.exits]
after = [2, 4]
kind = { light = { attention = { eca = {} } } }

[objective.self_distillation]
alpha = 0.3
temperature = 3.0
lambda = 0.03
teacher = "deepest"
label_smoothing = 0.0

[train]
epochs = 3
batch_size = 16
precision = "f32"
sgd = { momentum = 0.9, nesterov = true, weight_decay = 5e-4 }
schedule = { one_cycle = { peak = 0.05, warmup = 0.3 } }
"#;

fn sd_bench(folder: &Path, arguments: &[&str]) -> Assert {
    std::fs::write(folder.join("tiny.toml"), TINY).unwrap();
    let mut command = Command::cargo_bin("sd-bench").unwrap();
    command.current_dir(folder).env_remove("SD_DATA_DIR").args(arguments).assert()
}

fn stderr_contains(output: &Assert, expected: &str) {
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(text.contains(expected), "`{expected}` is not in: {text}");
}

#[test]
fn a_benchmark_prints_one_document_with_every_repetition() {
    let folder = tempfile::tempdir().unwrap();
    let bench = |subject: &str| -> sd_report::BenchRecord {
        let arguments = [subject, "tiny.toml", "--seconds", "0", "--threads", "1"];
        let more = ["--batch", "2", "--device", "cpu", "--json"];
        let output = sd_bench(folder.path(), &[&arguments[..], &more].concat()).success();
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    };
    let examples = sd_models::ExitConfig::examples();
    let kinds: Vec<String> = std::iter::once("no exits".to_owned())
        .chain(examples.iter().map(|kind| kind.get().describe()))
        .collect();
    for (subject, expected) in [
        ("data", vec!["epoch"]),
        ("step", vec!["step", "forward", "objective", "backward", "update"]),
        ("infer", vec!["evaluation", "exit1", "exit2", "deepest", "ensemble"]),
        ("exits", kinds.iter().map(String::as_str).collect()),
        ("overhead", vec!["epoch", "steps", "self_distilled", "plain"]),
        ("start", vec!["first_step"]),
    ] {
        let record = bench(subject);
        assert_eq!((record.subject.name(), record.threads), (subject, 1));
        let parts: Vec<&str> =
            record.measurements.iter().map(|measurement| measurement.part.as_str()).collect();
        assert_eq!(parts, expected, "{subject}");
        for measurement in &record.measurements {
            assert_eq!(measurement.timing.raw_seconds.len(), 3, "{subject} {}", measurement.part);
        }
    }
}

#[test]
fn several_configurations_are_measured_apart_and_printed_together() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["data", "tiny.toml", "tiny.toml", "--seconds", "0"];
    let output = sd_bench(folder.path(), &arguments).success();
    let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert_eq!(text.matches("\ntiny ").count(), 2, "{text}");
    let output = sd_bench(folder.path(), &["step", "--batch", "1"]).code(1);
    stderr_contains(&output, "--batch: found [1], expected at least 2");
}

#[test]
fn a_measured_run_has_its_own_times_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let infer = |arguments: &[&str]| {
        let common = ["infer", "--seconds", "0", "--device", "cpu", "--batch", "2"];
        sd_bench(folder.path(), &[&common[..], arguments].concat())
    };
    std::fs::create_dir(folder.path().join("a")).unwrap();
    let output = infer(&["tiny.toml", "a"]).code(1);
    stderr_contains(&output, "a is not a finished run: a/config.toml is missing");
    std::fs::write(folder.path().join("a/config.toml"), TINY).unwrap();
    stderr_contains(&infer(&["a"]).code(1), "a/summary.json is missing");
    std::fs::write(folder.path().join("a/summary.json"), "{}").unwrap();
    let output = infer(&["a", "-s", "train.precision=f32"]).code(1);
    stderr_contains(&output, "a: a run is measured with its own configuration, without -s");
    infer(&["a"]).success();
    std::fs::remove_file(folder.path().join("a/latency.json")).unwrap();
    let output = infer(&["tiny.toml", "a", "--json"]).success();
    let all: sd_report::BenchRecord = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let text = std::fs::read(folder.path().join("a/latency.json")).unwrap();
    let kept: sd_report::BenchRecord = serde_json::from_slice(&text).unwrap();
    let parts = ["evaluation", "exit1", "exit2", "deepest", "ensemble"];
    assert_eq!(kept.measurements.iter().map(|part| &*part.part).collect::<Vec<_>>(), parts);
    assert_eq!(kept.measurements, all.measurements[parts.len()..]);
    // At least three repetitions in each of three turns.
    assert!(kept.measurements.iter().all(|part| part.timing.raw_seconds.len() == 9));
    assert_eq!((kept.started, kept.command), (all.started, all.command));
}
