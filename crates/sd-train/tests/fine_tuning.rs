//! Runs that start from the weights of another, and runs that are trained longer.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use common::tiny;
use sd_layers::Precision;
use sd_models::{MultiExit, TensorFile, variables};
use sd_train::experiment::{Experiment, PretrainedConfig, Source};
use tch::{Device, Tensor, nn};

const STEP: &str =
    "train.schedule={ step = { rate = 0.01, milestones = [1], factor = 0.1, warmup_epochs = 0 } }";
const SIX_CLASSES: &str = "data.dataset={ synthetic = { classes = 6, train = 96, test = 32, channels = 1, height = 32, width = 32, seed = 1 } }";

fn train(folder: &Path, arguments: &[&str]) -> Assert {
    std::fs::write(folder.join("tiny.toml"), tiny::<&str>(&[]).unwrap().to_toml().unwrap())
        .unwrap();
    let mut command = Command::cargo_bin("sd-train").unwrap();
    command.current_dir(folder).args(["train", "tiny.toml", "--device", "cpu", "--threads", "1"]);
    command.args(arguments).assert()
}

fn weights(folder: &Path, run: &str) -> BTreeMap<String, Tensor> {
    TensorFile::read(&folder.join(run).join("model.safetensors")).unwrap().tensors
}

fn stderr(output: &Assert) -> String {
    String::from_utf8_lossy(&output.get_output().stderr).into_owned()
}

#[test]
fn a_run_with_a_step_schedule_is_trained_longer_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let epochs = |count: &str, more: &[&str]| {
        let epochs = format!("train.epochs={count}");
        train(folder, &[&["-s", STEP, "-s", &epochs], more].concat())
    };
    epochs("4", &["--out", "whole"]).success();
    epochs("2", &["--out", "parts"]).success();
    epochs("4", &["--out", "parts", "--resume"]).success();
    assert!(weights(folder, "whole") == weights(folder, "parts"));
    let read = |run: &str| std::fs::read_to_string(folder.join(run).join("config.toml")).unwrap();
    assert_eq!(read("whole"), read("parts"));
    let run = sd_report::Run::open(folder.join("parts")).unwrap();
    assert_eq!((run.summary.epochs, run.epochs.len()), (4, 4));
    let text = stderr(&epochs("3", &["--out", "parts", "--resume"]).code(1));
    assert!(text.contains("`train.epochs = 4` then, `train.epochs = 3` now"), "{text}");
}

#[test]
fn a_schedule_that_ends_with_its_epochs_names_the_other_way() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, &["-s", "train.epochs=1", "--out", "run"]).success();
    let text =
        stderr(&train(folder, &["-s", "train.epochs=2", "--out", "run", "--resume"]).code(1));
    for part in ["last.ckpt.safetensors: ", "`train.schedule.step`", "-s 'train.pretrained={ file"]
    {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    let start = "train.pretrained={ file = \"run\", from = \"run\", exits = true }";
    let output =
        train(folder, &["-s", "name=longer", "-s", "train.epochs=1", "-s", start]).success();
    let text = stderr(&output);
    assert!(text.contains("run: took stem (") && text.contains("exit2 ("), "{text}");
    assert!(!text.contains("initialisation") && !text.contains("another normalisation"), "{text}");
}

#[test]
fn exits_are_kept_and_classifiers_for_other_classes_are_new() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, &["-s", "train.epochs=1", "--out", "run"]).success();
    let theirs = weights(folder, "run");
    let experiment = tiny(&[SIX_CLASSES]).unwrap();
    let vs = nn::VarStore::new(Device::Cpu);
    MultiExit::build(&vs.root(), &experiment.model, experiment.task(), Precision::F32).unwrap();
    let ours = variables(&vs);
    let before: BTreeMap<_, _> = ours.iter().map(|(name, value)| (name, value.copy())).collect();
    let pretrained = PretrainedConfig {
        file: folder.join("run"),
        from: Source::Run,
        except: vec!["stage5".to_owned()],
        exits: true,
        rate: 0.1,
        freeze_through: None,
    };
    let loaded = pretrained.load(&experiment.model.backbone, &ours).unwrap();
    assert_eq!(loaded.kept, ["stage5"]);
    assert_eq!(loaded.new_classifiers, ["head", "exit1", "exit2"]);
    assert!(loaded.parts.iter().all(|(part, tensors)| part != "head" && *tensors > 0));
    assert_eq!(loaded.normalization.unwrap().mean.len(), 1);
    for (name, value) in &ours {
        let is_new = name.contains(".linear.") || name.starts_with("backbone.stage5.");
        let expected = if is_new { &before[name] } else { &theirs[name] };
        assert_eq!(value, expected, "{name}");
        assert_eq!(pretrained.is_fine_tuned(name), !is_new, "{name}");
    }
}

#[test]
fn branches_are_merged_in_the_weights_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let conv = |kind: &str| format!("model.backbone.vgg.conv=\"{kind}\"");
    let [branches, merged] = ["reparameterised_separable", "depthwise_separable"].map(conv);
    train(folder, &["-s", "train.epochs=1", "-s", &branches, "--out", "run"]).success();
    let start = "train.pretrained={ file = \"run\", from = \"run\", exits = true }";
    let again = ["-s", "train.epochs=1", "-s", start, "-s"];
    train(folder, &[&again[..], &[&merged, "--out", "more"]].concat()).success();
    let refused = train(folder, &[&again[..], &[&branches, "--out", "branches"]].concat()).code(1);
    let text = stderr(&refused);
    assert!(
        text.contains("expected `dense` and `depthwise_separable` in model.backbone"),
        "{text}"
    );
}

#[test]
fn adapters_come_and_go_with_the_exits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let tpami = ["-s", "objective={ tpami = {} }", "-s", "model.exits.adapters=[2]"];
    let short = ["-s", "train.epochs=1", "--out"];
    train(folder, &[&tpami[..], &short, &["adapted"]].concat()).success();
    train(folder, &[&short[..], &["plain"]].concat()).success();
    let from = |run: &str| format!("train.pretrained={{ file = \"{run}\", from = \"run\" }}");
    train(folder, &[&["-s", &from("adapted")], &short[..], &["without"]].concat()).success();
    let text = stderr(
        &train(folder, &[&tpami[..], &["-s", &from("plain")], &short[..], &["with"]].concat())
            .success(),
    );
    assert!(text.contains("adapter2, exit1, exit2 kept their initialisation"), "{text}");
}

#[test]
fn frozen_parts_keep_weights_and_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, &["-s", "train.epochs=1", "--out", "run"]).success();
    let pretrained = "train.pretrained={ file = \"run\", from = \"run\", exits = true, rate = 0.5, freeze_through = \"stage2\" }";
    let changes = ["-s", "train.epochs=2", "-s", SIX_CLASSES, "-s", pretrained];
    let theirs = weights(folder, "run");
    // The mean of three equal numbers can differ from them.
    let processes = ["--processes", "3", "-s", "train.batch_size=18"];
    for (run, more) in [("whole", &[][..]), ("three", &processes)] {
        train(folder, &[&changes[..], more, &["--out", run]].concat()).success();
        for (name, value) in weights(folder, run) {
            let frozen =
                ["backbone.stem.", "backbone.stage2."].iter().any(|part| name.starts_with(part));
            assert_eq!(value == theirs[&name], frozen, "{run}: {name}");
        }
    }
    let ours = weights(folder, "whole");
    let parts = [&changes[..], &["--out", "parts", "--max-steps", "8"]].concat();
    train(folder, &parts).code(130);
    train(folder, &[&changes[..], &["--out", "parts", "--resume"]].concat()).success();
    assert!(weights(folder, "parts") == ours);
}

#[test]
fn wrong_values_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |more: &str, expected: &str| {
        let value = format!("train.pretrained={{ file = \"a\", {more} }}");
        let text = stderr(&train(folder.path(), &["-s", &value]).code(1));
        assert!(text.contains(expected), "{text}");
    };
    refused("from = \"timm\", exits = true", "train.pretrained.exits is true, expected false");
    refused(
        "from = \"run\", rate = 0.0",
        "train.pretrained.rate is 0, expected above 0, at most 1",
    );
    let expected =
        "train.pretrained.freeze_through: found the part `head`, expected one of stem, stage1,";
    refused("from = \"run\", freeze_through = \"head\"", expected);
    refused(
        "from = \"run\", freeze_through = \"stage3\", except = [\"stage2\"]",
        "`stage2` would stay at its initialisation",
    );
}

/// Configurations written before there were exits, a rate and frozen parts mean the same, and are
/// written as before.
#[test]
fn earlier_configurations_are_unchanged() {
    let pretrained = "train.pretrained={ file = \"a\", from = \"run\" }";
    let text = tiny(&[pretrained]).unwrap().to_toml().unwrap();
    assert!(
        text.contains("[train.pretrained]\nfile = \"a\"\nfrom = \"run\"\nexcept = []\n"),
        "{text}"
    );
    assert!(!text.contains("rate = 1") && !text.contains("freeze"), "{text}");
    assert_eq!(Experiment::parse(&text, &[]).unwrap().train.pretrained.unwrap().rate, 1.0);
}
