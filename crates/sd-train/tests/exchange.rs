//! Weights from other libraries and back, by the commands and as pretrained weights of a run.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use assert_cmd::Command;
use common::tiny;
use sd_layers::Precision;
use sd_models::{Library, MultiExit, TensorFile, variables};
use sd_train::experiment::Experiment;
use sd_train::experiment::{PretrainedConfig, Source};
use tch::{Device, Tensor, nn};

/// A network that torchvision and timm have.
const DENSE: &[&str] = &[
    "name=dense",
    "data.dataset={ synthetic = { classes = 4, train = 64, test = 32, channels = 3, height = 32, width = 32, seed = 0 } }",
    "model.backbone.vgg.head=classic7x7",
    "model.backbone.vgg.conv=dense",
    "train.epochs=1",
];

fn experiment(changes: &[&str]) -> Experiment {
    tiny(&[DENSE, changes].concat()).unwrap()
}

fn built(experiment: &Experiment) -> BTreeMap<String, Tensor> {
    let vs = nn::VarStore::new(Device::Cpu);
    MultiExit::build(&vs.root(), &experiment.model, experiment.task(), Precision::F32).unwrap();
    variables(&vs)
}

/// The state dict of some weights in `file`, and these weights under our names.
fn state_dict(library: Library, file: &Path) -> BTreeMap<String, Tensor> {
    let experiment = experiment(&[]);
    let weights = built(&experiment);
    let exported = library.export(&experiment.model.backbone, &weights).unwrap();
    std::fs::write(file, exported.to_bytes().unwrap()).unwrap();
    weights
}

fn sd_train(folder: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    std::fs::write(folder.join("dense.toml"), tiny(DENSE).unwrap().to_toml().unwrap()).unwrap();
    Command::cargo_bin("sd-train").unwrap().current_dir(folder).args(arguments).assert()
}

fn replaced<'a>(arguments: &[&'a str], old: &str, new: &'a str) -> Vec<&'a str> {
    arguments.iter().map(|&word| if word == old { new } else { word }).collect()
}

fn stderr_contains(output: &assert_cmd::assert::Assert, expected: &[&str]) {
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    for part in expected {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn from_torchvision_to_timm_is_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    let weights = state_dict(Library::Torchvision, &folder.path().join("theirs.safetensors"));
    let import = ["weights", "import", "dense.toml", "theirs.safetensors"];
    let import = [&import[..], &["--from", "torchvision", "--out", "ours.safetensors"]].concat();
    sd_train(folder.path(), &import).success();
    let export = ["weights", "export", "ours.safetensors", "--to", "timm", "--out", "timm"];
    sd_train(folder.path(), &export).success();

    let path = folder.path().join("timm");
    let timm = TensorFile::read(&path).unwrap();
    assert_eq!(timm.tensors["pre_logits.fc1.weight"].size(), [512, 64, 7, 7]);
    let back = Library::Timm.import(&experiment(&[]).model.backbone, timm, &path).unwrap();
    let without_exits = weights.into_iter().filter(|(name, _)| !name.starts_with("exit"));
    assert_eq!(back.tensors, without_exits.collect());

    let refused = sd_train(folder.path(), &replaced(&import, "torchvision", "timm")).code(1);
    stderr_contains(&refused, &["head.hidden1.weight is missing", "no head.classifier.0.weight"]);
    let grouped = ["-s", "model.backbone.vgg.conv={grouped={groups=4}}"];
    let refused = sd_train(folder.path(), &[&import[..], &grouped].concat()).code(1);
    stderr_contains(
        &refused,
        &["dense.toml", "torchvision has no vgg11 grouped4", "dense convolutions"],
    );
}

#[test]
fn wrapped_state_dicts_are_imported_and_damaged_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.safetensors");
    state_dict(Library::Torchvision, &path);
    let mut file = TensorFile::read(&path).unwrap();
    let write = |prefix: &str, file: &TensorFile| {
        let tensors = file.tensors.iter();
        let tensors = tensors.map(|(name, value)| (format!("{prefix}{name}"), value.copy()));
        let file = TensorFile { tensors: tensors.collect(), metadata: file.metadata.clone() };
        std::fs::write(&path, file.to_bytes().unwrap()).unwrap();
    };
    let import = ["weights", "import", "dense.toml", "theirs.safetensors"];
    let import = [&import[..], &["--from", "torchvision", "--out", "ours.safetensors"]].concat();
    write("module.", &file);
    let imported = sd_train(folder.path(), &import).success();
    let printed = String::from_utf8_lossy(&imported.get_output().stdout).into_owned();
    assert!(printed.contains("without the prefix `module.` of their names"), "{printed}");

    let name = "features.1.running_var";
    for (value, problem) in [(f64::NAN, "NaN"), (-1.0, "negative")] {
        let _ = file.tensors.get_mut(name).unwrap().fill_(value);
        write("", &file);
        std::fs::remove_file(folder.path().join("ours.safetensors")).unwrap_or_default();
        let refused = sd_train(folder.path(), &import).code(1);
        stderr_contains(&refused, &["theirs.safetensors", name, problem]);
        assert!(!folder.path().join("ours.safetensors").exists());
    }
}

#[test]
fn pretrained_weights_load_all_parts_but_the_exits_and_the_excepted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("theirs.safetensors");
    let theirs = state_dict(Library::Timm, &file);
    // A grouped stage and a head of another kind have no counterpart.
    let compressed = experiment(&[
        "model.backbone.vgg.head=linear",
        "model.backbone.vgg.conv=[\"dense\", \"dense\", \"dense\", \"dense\", \"depthwise_separable\"]",
    ]);
    let backbone = &compressed.model.backbone;
    let network = built(&compressed);
    let before: BTreeMap<String, Tensor> =
        network.iter().map(|(name, value)| (name.clone(), value.copy())).collect();
    let except = |parts: &[&str]| PretrainedConfig {
        file: file.clone(),
        from: Source::Timm,
        except: parts.iter().map(|&part| part.to_owned()).collect(),
        exits: false,
        rate: 1.0,
        freeze_through: None,
    };

    let error = except(&["head"]).load(backbone, &network).unwrap_err().to_string();
    assert!(error.contains("backbone.stage5.0.conv.depthwise.weight is missing"), "{error}");
    let error = except(&["tail"]).load(backbone, &network).unwrap_err().to_string();
    assert!(error.contains("has `tail`") && error.contains("stem, stage2, "), "{error}");
    assert_eq!(network, before, "an error copies nothing");

    let loaded = except(&["stage5", "head"]).load(backbone, &network).unwrap();
    assert_eq!(loaded.kept, ["stage5", "head", "exit1", "exit2"]);
    // VGG11's first convolution and norm are the stem; nothing else of stage 1 has weights.
    let parts = [("stem", 5), ("stage2", 5), ("stage3", 10), ("stage4", 10)];
    assert_eq!(loaded.parts, parts.map(|(part, tensors)| (part.to_owned(), tensors)));
    for (name, value) in &network {
        let kept = ["backbone.stage5.", "head.", "exit"].iter().any(|part| name.starts_with(part));
        let expected = if kept { &before[name] } else { &theirs[name] };
        assert_eq!(value, expected, "{name}");
    }
}

#[test]
fn a_run_logs_its_pretrained_parts() {
    let folder = tempfile::tempdir().unwrap();
    state_dict(Library::Torchvision, &folder.path().join("theirs.safetensors"));
    let pretrained = "train.pretrained={file=\"theirs.safetensors\",from=\"torchvision\"}";
    let train = ["train", "dense.toml", "--device", "cpu", "--threads", "1", "--out", "run"];
    let train = [&train[..], &["-s", pretrained]].concat();
    let parts = [&train[..], &["--max-steps", "2"]].concat();
    let started = sd_train(folder.path(), &parts).code(130);
    stderr_contains(
        &started,
        &["theirs.safetensors: took stem (5 tensors), stage2 (5", "exit1, exit2 kept"],
    );

    // Resuming needs the checkpoint alone.
    std::fs::remove_file(folder.path().join("theirs.safetensors")).unwrap();
    sd_train(folder.path(), &[&train[..], &["--resume"]].concat()).success();
    let again = sd_train(folder.path(), &replaced(&train, "run", "again")).code(1);
    stderr_contains(&again, &["theirs.safetensors"]);
}
