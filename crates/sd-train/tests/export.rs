//! Exports of a trained run: what they score is what the run's own weights score.

mod common;

use std::path::Path;

use assert_cmd::Command;
use common::tiny;
use serde_json::Value;

/// Images that are padded before they reach the network.
const TINY: &[&str] = &[
    "data.dataset={ synthetic = { classes = 4, train = 256, test = 100, channels = 1, height = 28, width = 28, seed = 0 } }",
    "data.pad=2",
    "data.validation={ fraction = 0.25, seed = 0 }",
    "model.backbone.vgg.width=0.25",
    "train.epochs=2",
];

fn sd_train(folder: &Path, line: &str) -> Command {
    let mut command = Command::cargo_bin("sd-train").unwrap();
    command.current_dir(folder).args(line.split_whitespace());
    command
}

fn printed(folder: &Path, line: &str) -> String {
    let done = sd_train(folder, line).assert().success();
    String::from_utf8(done.get_output().stdout.clone()).unwrap()
}

fn json(folder: &Path, line: &str) -> Value {
    serde_json::from_str(&printed(folder, line)).unwrap()
}

#[test]
fn every_export_scores_as_the_run_does() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("tiny.toml"), tiny(TINY).unwrap().to_toml().unwrap()).unwrap();
    printed(folder, "train tiny.toml --out run --device cpu --threads 1");
    let scores = json(folder, "eval run --json --device cpu");
    let top1 = |place: &Value| place["top1"].as_f64().unwrap();
    let deepest = top1(scores["exits"].as_array().unwrap().last().unwrap());

    for (export, file, expected) in [
        ("", "run/deepest.onnx", deepest),
        ("--no-fold", "run/deepest.onnx", deepest),
        ("--exit exit1", "run/exit1.onnx", top1(&scores["exits"][0])),
        ("--all", "run/all.onnx", top1(&scores["ensemble"])),
    ] {
        assert_eq!(printed(folder, &format!("export run {export}")).trim(), file);
        let score = json(folder, &format!("eval run --json --onnx {file}"));
        assert_eq!(score["images"], 100);
        assert!((top1(&score) - expected).abs() < 1e-9, "{file}: {score}, expected {expected}");
    }

    let staged = printed(folder, "export run --staged --tolerance 2");
    let expected =
        ["run/staged/1-exit1.onnx", "run/staged/2-exit2.onnx", "run/staged/3-deepest.onnx"];
    assert_eq!(staged.lines().collect::<Vec<_>>(), expected);
    // The tolerance holds on the images that chose the thresholds.
    let valid = json(folder, "eval run --json --split valid --device cpu");
    let whole = top1(valid["exits"].as_array().unwrap().last().unwrap());
    let early = json(folder, "eval run --json --split valid --onnx run/staged");
    assert!(top1(&early) >= whole - 0.02 - 1e-9, "{early}, whole {whole}");

    // So does the budget.
    printed(folder, "export run --staged --budget 70 --out run/cheap");
    let cheap = json(folder, "eval run --json --split valid --onnx run/cheap");
    assert!(cheap["macs_share"].as_f64().unwrap() <= 0.7, "{cheap}");

    for (form, kind) in [("qdq", "deepest"), ("convinteger", "deepest"), ("convinteger", "staged")]
    {
        let staged = if kind == "staged" { "--staged" } else { "" };
        let export = format!("export run --int8 {form} {staged} --calibration-images 128");
        printed(folder, &export);
        let file = if staged.is_empty() {
            format!("run/{kind}-{form}.onnx")
        } else {
            format!("run/{kind}-{form}")
        };
        let score = json(folder, &format!("eval run --json --onnx {file}"));
        assert!((top1(&score) - deepest).abs() <= 0.1, "{file}: {score}, float {deepest}");
    }
    let bytes = |file: &str| std::fs::metadata(folder.join(file)).unwrap().len() as f64;
    let share = bytes("run/deepest-convinteger.onnx") / bytes("run/deepest.onnx");
    assert!(share < 0.75, "{share}");

    let refused = sd_train(folder, "export run --exit exit7").assert().code(1);
    let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(said.contains("found `exit7`, expected one of exit1, exit2, deepest"), "{said}");
}

#[test]
fn networks_of_image_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let files = "data.dataset={ image_folder = { folder = \"pets\", classes = 4, images = { side = 32 } } }";
    let text = tiny(&[files]).unwrap().to_toml().unwrap();
    std::fs::create_dir(folder.path().join("run")).unwrap();
    std::fs::write(folder.path().join("run/config.toml"), text).unwrap();
    let refused = sd_train(folder.path(), "export run").assert().code(1);
    let said = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(said.contains("run/config.toml: networks trained on image files"), "{said}");
}
