//! Folders for PyTorch: their tensors are those that `modeling.py` expects.
//!
//! With `SD_PYTORCH_CASES=DIR` the folders stay in `DIR`, with images and libtorch's logits, for
//! scripts/pytorch/check.py, which writes the expected tensors into `golden/pytorch.json`.

mod common;
mod networks;
mod program;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use common::tiny;
use networks::{networks, randomise};
use program::{error, printed};
use sd_layers::{AttentionConfig, FeatureShape, Precision, channels_last};
use sd_models::{ModelConfig, MultiExit, Task, TensorFile, variables};
use sd_onnx::{Input, Layout, Resize};
use sd_train::evaluation::TrainingData;
use sd_train::export::pytorch::{MODELING, Source};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor, nn};

/// Images per case.
const IMAGES: i64 = 3;

/// Beside those of the ONNX tests: a chain with each attention, all depths of exits on a map that
/// stays large, and networks that timm builds too.
fn more_networks() -> Vec<(String, Value, FeatureShape)> {
    let resnet = |depth: u32, rest: Value| {
        let mut options = json!({ "depth": depth, "conv": "dense", "attention": "none" });
        options.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({ "resnet": options })
    };
    let model = |backbone: Value, after: &[usize], kind: Value| json!({ "backbone": backbone, "exits": { "after": after, "kind": kind } });
    let small = FeatureShape::new(3, 40, 48);
    let large = FeatureShape::new(3, 64, 96);
    let grey = FeatureShape { channels: 1, ..large };
    let mut all = Vec::new();
    for attention in AttentionConfig::examples() {
        let backbone = resnet(34, json!({ "stem": "small", "width": 0.125, "output_stride": 4 }));
        let kind = json!({ "chain": { "attention": attention } });
        all.push((format!("chain-{attention}"), model(backbone, &[1, 2, 3], kind), small));
    }
    let mobilenet =
        |stem: &str, width: f64| json!({ "mobilenet_v2": { "stem": stem, "width": width } });
    for kind in ["byot", "scan", "tpami"] {
        let backbone = mobilenet("small", 0.35);
        all.push((format!("mobilenet-{kind}"), model(backbone, &[1, 2, 3, 4], json!(kind)), small));
    }
    let vgg = json!({ "vgg": {
        "depth": 16, "head": "classic", "width": 0.25, "output_stride": 8,
        "conv": ["dense", "dense", "depthwise_separable", { "grouped": { "groups": 4 } }, "dense"],
        "attention": ["none", { "eca": {} }, "simam", "none", { "eca": { "kernel": 5 } }],
    } });
    let vgg = vgg.to_string().replace("\"simam\"", "{\"simam\":{}}");
    let light = json!({ "light": { "attention": { "cbam": {} }, "side": 2 } });
    all.push(("vgg-stages".to_owned(), model(vgg.parse().unwrap(), &[1, 2, 4], light), large));
    let square = FeatureShape::new(3, 64, 64);
    let vgg = |width: f64, head: &str| {
        json!({ "vgg": {
            "depth": 11, "head": head, "width": width, "conv": "dense", "attention": "none",
        } })
    };
    let plain = |backbone: Value| json!({ "backbone": backbone });
    all.push(("vgg-classic7x7".to_owned(), plain(vgg(0.125, "classic7x7")), square));
    let resnet18 = resnet(18, json!({ "stem": "large" }));
    all.push(("timm-resnet18".to_owned(), model(resnet18, &[1, 2, 3], json!("byot")), large));
    all.push(("timm-resnet50".to_owned(), plain(resnet(50, json!({ "stem": "large" }))), grey));
    for percent in [35, 100, 140] {
        let backbone = mobilenet("large", f64::from(percent) / 100.0);
        all.push((format!("timm-mobilenet-{percent}"), plain(backbone), large));
    }
    if kept().is_some() {
        // Half a gigabyte.
        all.push(("timm-vgg11".to_owned(), plain(vgg(1.0, "classic7x7")), large));
    }
    all
}

/// Where the folders stay, if they do.
fn kept() -> Option<PathBuf> {
    std::env::var_os("SD_PYTORCH_CASES").map(PathBuf::from)
}

/// Writes the folder of a network with random weights, and returns the digest of its tensors.
fn write(folder: &Path, name: &str, model: ModelConfig, task: Task) -> String {
    let _no_grad = tch::no_grad_guard();
    let FeatureShape { channels, height, width } = task.input;
    let data = format!(
        "data.dataset={{ synthetic = {{ classes = {}, train = 96, test = 32, \
         channels = {channels}, height = {height}, width = {width}, seed = 0 }} }}",
        task.classes
    );
    let mut experiment = tiny(&[data]).unwrap();
    experiment.name = name.to_owned();
    experiment.model = model;
    tch::manual_seed(7);
    let vs = nn::VarStore::new(Device::Cpu);
    let network = MultiExit::build(&vs.root(), &experiment.model, task, Precision::F32).unwrap();
    randomise(&vs);
    let data = TrainingData {
        classes: (0..task.classes).map(|class| class.to_string()).collect(),
        input: Input {
            channels: channels as usize,
            height: height as usize,
            width: width as usize,
            border: 0,
            resize: Resize::Triangle,
            layout: Layout::Nchw,
            mean: vec![0.5; channels as usize],
            deviation: vec![0.25; channels as usize],
        },
        images: None,
    };
    let variables = variables(&vs);
    let source = Source {
        experiment: &experiment,
        network: &network,
        variables: &variables,
        data: &data,
        evaluation: None,
    };
    source.write(folder).unwrap();
    if kept().is_some() {
        let size = [IMAGES, channels, height, width];
        let images = Tensor::randn(size, (Kind::Float, Device::Cpu));
        let outputs = network.forward_exits(&channels_last(&images), false);
        let logits = outputs.all().map(|exit| exit.logits.shallow_clone());
        let named = network.exit_names().into_iter().zip(logits);
        let tensors = named.chain([("images".to_owned(), images)]).collect();
        let golden = TensorFile { tensors, metadata: HashMap::new() };
        let file = folder.with_extension("golden.safetensors");
        fs::write(file, golden.to_bytes().unwrap()).unwrap();
    }
    digest(folder)
}

/// SHA-256 of the names and shapes of a folder's tensors, under this project's names.
fn digest(folder: &Path) -> String {
    let config: Value =
        serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    let timm = config.get("timm_layers");
    let mut shapes = BTreeMap::new();
    for file in ["model.safetensors", "exits.safetensors"] {
        let path = folder.join(file);
        if !path.exists() {
            continue;
        }
        for (name, tensor) in TensorFile::read(&path).unwrap().tensors {
            let (layer, part) = name.rsplit_once('.').unwrap();
            let name = match timm {
                // Counted by torch, not by this project.
                _ if part == "num_batches_tracked" => continue,
                Some(layers) if file == "model.safetensors" => {
                    format!("{}.{part}", layers[layer].as_str().unwrap())
                }
                _ => name,
            };
            shapes.insert(name, tensor.size());
        }
    }
    let lines = shapes.iter().map(|(name, shape)| format!("{name} {shape:?}\n"));
    let digest = Sha256::digest(lines.collect::<String>());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_folder_holds_the_tensors_of_modeling_py() {
    let temporary = tempfile::tempdir().unwrap();
    let root = kept().unwrap_or_else(|| temporary.path().to_owned());
    fs::create_dir_all(&root).unwrap();
    let golden: BTreeMap<String, String> =
        serde_json::from_str(include_str!("golden/pytorch.json")).unwrap();
    let more = more_networks().into_iter().map(|(name, model, input)| {
        (name, serde_json::from_value(model).unwrap(), Task { input, classes: 5 })
    });
    let mut count = 0;
    for (name, model, task) in networks().into_iter().chain(more) {
        let folder = root.join(&name);
        let found = write(&folder, &name, model, task);
        let config = fs::read_to_string(folder.join("config.json")).unwrap();
        assert_eq!(config.contains("\"architecture\""), name.starts_with("timm-"), "{name}");
        if kept().is_none() {
            fs::remove_dir_all(&folder).unwrap();
        }
        // A new configuration has no digest before scripts/pytorch/check.py has run.
        if let Some(expected) = golden.get(&name) {
            assert_eq!(found, *expected, "{name}: run scripts/pytorch/check.py");
            count += 1;
        }
    }
    assert!(count > 75, "{count}");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_becomes_a_folder_that_is_replaced_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let changes = [
        "data.pad=2",
        "train.epochs=1",
        "data.dataset.synthetic.height=28",
        "data.dataset.synthetic.width=28",
    ];
    fs::write(folder.join("tiny.toml"), tiny(&changes).unwrap().to_toml().unwrap()).unwrap();
    printed(folder, "train tiny.toml --out run --device cpu --threads 1");
    assert_eq!(printed(folder, "export run --to pytorch").trim(), "run/pytorch");
    let written = folder.join("run/pytorch");
    let expected = ["README.md", "config.json", "model.safetensors", "modeling.py"];
    assert_eq!(names(&written), expected);
    assert_eq!(fs::read_to_string(written.join("modeling.py")).unwrap(), MODELING);

    let text = fs::read(written.join("config.json")).unwrap();
    let config: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(config["model"]["backbone"]["vgg"]["conv"]["grouped"]["groups"], 8);
    assert_eq!((&config["input"]["height"], &config["input"]["border"]), (&json!(32), &json!(2)));
    assert_eq!(config["label_names"].as_array().unwrap().len(), 4);
    assert_eq!(config.get("architecture"), None);

    let card = fs::read_to_string(written.join("README.md")).unwrap();
    let (metadata, text) = card.strip_prefix("---\n").unwrap().split_once("---\n").unwrap();
    let value = |key: &str| -> Value {
        let line = metadata.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        serde_json::from_str(line).unwrap()
    };
    assert_eq!(value("library_name: "), "pytorch");
    let evaluation: Value =
        serde_json::from_slice(&fs::read(folder.join("run/evaluation.json")).unwrap()).unwrap();
    let metrics = &value("model-index: ")[0]["results"][0]["metrics"];
    for exit in 0..3 {
        assert_eq!(metrics[exit]["value"], evaluation["exits"][exit]["top1"]);
    }
    assert!(text.contains("| exit2 |") && !text.contains("timm"), "{text}");

    // What Python leaves is replaced too; anything else is refused.
    fs::create_dir(written.join("__pycache__")).unwrap();
    printed(folder, "export run --to pytorch");
    assert_eq!(names(&written), expected);
    fs::write(written.join("notes.txt"), "").unwrap();
    let refused = error(folder, "export run --to pytorch");
    assert!(refused.contains("found notes.txt, expected a new folder"), "{refused}");
}
