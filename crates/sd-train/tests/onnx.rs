//! Networks as ONNX, with random weights and statistics, against their own forward passes.
//!
//! With `SD_ONNX_CASES=DIR` the files and libtorch's logits stay in `DIR`, for
//! scripts/onnx/check.py.

mod networks;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use networks::{networks, randomise};
use sd_infer::{Batch, Classifier, Engine, Options};
use sd_layers::{AttentionConfig, ConvConfig, FeatureShape, Precision, channels_last};
use sd_models::{
    BackboneConfig, ModelConfig, MultiExit, PerStage, Task, TensorFile, VggConfig, VggHead,
};
use sd_onnx::proto::{ElementType, GraphProto, TensorProto};
use sd_onnx::{
    Exit, Input, Layout, METADATA_VERSION, Metadata, Resize, encode, fold_batch_norms,
    without_scope,
};
use tch::{Device, Kind, Tensor, nn};

/// A network with random weights, its files, and images with its logits.
struct Case {
    folder: PathBuf,
    metadata: Metadata,
    images: Tensor,
    /// Every exit's logits, then the ensemble's if there are several.
    logits: Vec<(String, Tensor)>,
}

/// Images per case.
const IMAGES: i64 = 3;

impl Case {
    /// The network and its files.
    fn make(name: &str, config: &ModelConfig, task: Task, root: &Path) -> Self {
        let (case, network) = Self::new(name, config, task, root);
        case.write_files(&network);
        case
    }

    /// A network, and a folder for its files.
    fn new(name: &str, config: &ModelConfig, task: Task, root: &Path) -> (Self, MultiExit) {
        let _no_grad = tch::no_grad_guard();
        tch::manual_seed(7);
        let vs = nn::VarStore::new(Device::Cpu);
        let network = MultiExit::build(&vs.root(), config, task, Precision::F32).unwrap();
        randomise(&vs);
        let size = [IMAGES, task.input.channels, task.input.height, task.input.width];
        let images = Tensor::randn(size, (Kind::Float, Device::Cpu));
        let outputs = network.forward_exits(&channels_last(&images), false);
        let names = network.exit_names();
        let logits = outputs.all().map(|exit| exit.logits.shallow_clone());
        let mut logits: Vec<_> = names.iter().cloned().zip(logits).collect();
        if logits.len() > 1 {
            logits.push(("ensemble".to_owned(), outputs.ensemble()));
        }
        let case = Self {
            folder: root.join(name),
            metadata: metadata(name, task, &network),
            images,
            logits,
        };
        std::fs::create_dir_all(&case.folder).unwrap();
        (case, network)
    }

    fn check(&self, file: &Path, expected: &[(String, Tensor)], engine: Engine) {
        let difference = difference(file, &self.images, expected, engine);
        assert!(difference < 1e-4, "{}, {engine:?}: {difference:e}", file.display());
    }

    fn write_files(&self, network: &MultiExit) {
        let named = self.logits.iter().map(|(name, logits)| (name.clone(), logits.shallow_clone()));
        let images = ("images".to_owned(), self.images.shallow_clone());
        let tensors = named.chain([images]).collect();
        let file = TensorFile { tensors, metadata: HashMap::new() };
        std::fs::write(self.folder.join("golden.safetensors"), file.to_bytes().unwrap()).unwrap();
        let write = |name: String, graph: GraphProto, metadata: &Metadata, fold: bool| {
            self.write(&name, graph, metadata, fold);
        };
        let costs = network.cost_of_exits().unwrap();
        for (exit, name) in network.exit_names().iter().enumerate() {
            let params = parameters(&network.onnx_until(exit).unwrap());
            assert_eq!(params, costs[exit].params, "{}, {name}", self.folder.display());
            let only = vec![self.metadata.exits[exit].clone()];
            let metadata = Metadata { exits: only, ensemble: false, ..self.metadata.clone() };
            write(format!("{name}.onnx"), network.onnx_until(exit).unwrap(), &metadata, true);
        }
        write("all.onnx".to_owned(), network.onnx_all().unwrap(), &self.metadata, true);
        write("unfolded.onnx".to_owned(), network.onnx_all().unwrap(), &self.metadata, false);
        std::fs::create_dir_all(self.folder.join("staged")).unwrap();
        for (segment, graph) in network.onnx_segments().unwrap().into_iter().enumerate() {
            let metadata = Metadata { segment: Some(segment), ..self.metadata.clone() };
            let name = format!("staged/{}-{}.onnx", segment + 1, graph.name);
            write(name, graph, &metadata, true);
        }
    }

    fn write(&self, name: &str, mut graph: GraphProto, metadata: &Metadata, fold: bool) {
        if fold {
            fold_batch_norms(&mut graph).unwrap();
        }
        std::fs::write(self.folder.join(name), encode(graph, metadata)).unwrap();
    }
}

/// Numbers of a graph that were trained: not running statistics, shapes or constants.
fn parameters(graph: &GraphProto) -> u64 {
    let trained = graph.initializer.iter().filter(|tensor| {
        let fixed = ["norm_mean", "norm_var", "scales"];
        let of_floats = tensor.data_type == ElementType::Float as i32;
        let constant = tensor.dims.is_empty() || !of_floats;
        !constant && !fixed.iter().any(|role| without_scope(&tensor.name).starts_with(role))
    });
    trained.map(trained_values).sum()
}

/// Numbers of a tensor that were trained: of a banded matrix, its diagonals.
fn trained_values(tensor: &TensorProto) -> u64 {
    if !without_scope(&tensor.name).starts_with("eca_bands") {
        return tensor.dims.iter().product::<i64>() as u64;
    }
    let (values, size) = (tensor.to_floats().unwrap(), tensor.dims[0] as usize);
    let places = values.iter().enumerate().filter(|(_, value)| **value != 0.0);
    let reach = places.map(|(place, _)| (place / size).abs_diff(place % size)).max().unwrap();
    2 * reach as u64 + 1
}

fn vgg(head: VggHead, conv: ConvConfig, attention: AttentionConfig) -> BackboneConfig {
    BackboneConfig::Vgg(VggConfig {
        depth: 11,
        head,
        width: 0.25,
        output_stride: None,
        conv: PerStage::All(conv),
        attention: PerStage::All(attention),
    })
}

fn metadata(name: &str, task: Task, network: &MultiExit) -> Metadata {
    let channels = task.input.channels as usize;
    let costs = network.cost_of_cascade().unwrap();
    let exit = |(name, cost): (String, &sd_layers::Cost)| Exit {
        name,
        params: cost.params,
        macs: cost.macs,
        temperature: 1.0,
        threshold: None,
    };
    let exits: Vec<Exit> = network.exit_names().into_iter().zip(&costs).map(exit).collect();
    Metadata {
        metadata_version: METADATA_VERSION,
        version: "0".to_owned(),
        name: name.to_owned(),
        input: Input {
            channels,
            height: task.input.height as usize,
            width: task.input.width as usize,
            border: 0,
            resize: Resize::Triangle,
            layout: Layout::Nchw,
            mean: vec![0.5; channels],
            deviation: vec![0.25; channels],
        },
        classes: (0..task.classes).map(|class| class.to_string()).collect(),
        ensemble: exits.len() > 1,
        exits,
        ensemble_temperature: 1.0,
        carry: 0.0,
        deployed_macs: network.cost_of_exits().unwrap().last().unwrap().macs,
        segment: None,
        int8: None,
        configuration: String::new(),
        configuration_sha256: String::new(),
    }
}

/// The largest difference between the file's logits, output by output, and libtorch's.
fn difference(file: &Path, images: &Tensor, expected: &[(String, Tensor)], engine: Engine) -> f64 {
    // SCAN's transposed convolutions exceed the default limit.
    let options = Options { engine: Some(engine), max_memory: 1 << 32, ..Options::default() };
    let mut classifier = Classifier::open_with(file, options).unwrap();
    let numbers = |tensor: &Tensor| Vec::<f32>::try_from(tensor.contiguous().view([-1])).unwrap();
    let shape = images.size().iter().map(|&side| side as usize).collect();
    let outputs = classifier.logits(Batch::new(shape, numbers(images)).unwrap()).unwrap();
    assert_eq!(outputs.len(), expected.len(), "{}", file.display());
    let pairs = outputs.iter().zip(expected).flat_map(|(output, (_, expected))| {
        let pairs: Vec<_> = output.values().iter().copied().zip(numbers(expected)).collect();
        pairs
    });
    pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

/// Whether the native engine supports the network in the file or folder.
fn is_native(file: &Path) -> bool {
    let engine = Some(Engine::Native);
    let options = Options { engine, max_memory: 1 << 32, ..Options::default() };
    let refused = Classifier::open_with(file, options).err().map(|error| error.to_string());
    if let Some(error) = &refused {
        assert!(error.contains("no native kernel"), "{}: {error}", file.display());
    }
    refused.is_none()
}

#[test]
fn every_file_gives_the_networks_own_logits() {
    let (mut native, mut left_to_rten) = (0, Vec::new());
    let scratch = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("SD_ONNX_CASES").map(PathBuf::from);
    let root = kept.as_deref().unwrap_or(scratch.path());
    for (name, config, task) in networks() {
        let case = Case::make(&name, &config, task, root);
        let exits = case.metadata.exits.len();
        for (exit, (name, _)) in case.logits[..exits].iter().enumerate() {
            let file = case.folder.join(format!("{name}.onnx"));
            case.check(&file, &case.logits[exit..=exit], Engine::Rten);
        }
        case.check(&case.folder.join("all.onnx"), &case.logits, Engine::Rten);
        if is_native(&case.folder.join("all.onnx")) {
            case.check(&case.folder.join("all.onnx"), &case.logits, Engine::Native);
            case.check(&case.folder.join("staged"), &case.logits[..exits], Engine::Native);
            native += 1;
        } else {
            left_to_rten.push(name.clone());
        }
        case.check(&case.folder.join("unfolded.onnx"), &case.logits, Engine::Rten);
        case.check(&case.folder.join("staged"), &case.logits[..exits], Engine::Rten);
    }
    // Dense, grouped, depthwise; plain, residual; ECA and squeeze-excite: what configs/ is made of,
    // but for two baselines' attention, MobileNetV2's ReLU6 and shuffled channels.
    left_to_rten.retain(|name| {
        name.starts_with("vgg11") || name.contains("18") || name.starts_with("mobilenet")
    });
    left_to_rten.sort();
    let expected = [
        "mobilenetv2-plain",
        "resnet18-dense-scan-published",
        "resnet18-dense-tpami-published",
        "resnet18-early-light",
    ];
    assert_eq!(left_to_rten, expected);
    assert!(native > 25, "{native}");
}

/// The programs write merged networks; a user of the library need not.
#[test]
fn a_file_with_separate_branches_gives_the_networks_own_logits() {
    let scratch = tempfile::tempdir().unwrap();
    let task = Task { input: FeatureShape::new(3, 32, 32), classes: 5 };
    for conv in [ConvConfig::ReparameterisedDense, ConvConfig::ReparameterisedSeparable] {
        let backbone = vgg(VggHead::Linear, conv, AttentionConfig::None);
        let config = ModelConfig { backbone, exits: None };
        let (case, network) = Case::new(&config.describe(), &config, task, scratch.path());
        for (name, fold) in [("folded.onnx", true), ("unfolded.onnx", false)] {
            case.write(name, network.onnx_all().unwrap(), &case.metadata, fold);
            case.check(&case.folder.join(name), &case.logits, Engine::Rten);
        }
    }
}

/// Ranges that are measured in the graph with all exits hold in the others.
#[test]
fn values_have_the_same_names_in_all_graphs() {
    for (name, config, task) in networks() {
        let vs = nn::VarStore::new(Device::Cpu);
        let network = MultiExit::build(&vs.root(), &config, task, Precision::F32).unwrap();
        let folded = |graph: sd_models::Result<GraphProto>| {
            let mut graph = graph.unwrap();
            fold_batch_norms(&mut graph).unwrap();
            graph
        };
        let all = folded(network.onnx_all());
        let exits = (0..network.exit_names().len()).map(|exit| network.onnx_until(exit));
        let segments = network.onnx_segments().unwrap().into_iter().map(Ok);
        for graph in exits.chain(segments).map(folded) {
            for node in &graph.node {
                assert!(all.node.contains(node), "{name}, {}: {node:?}", graph.name);
            }
            for weight in &graph.initializer {
                let found = all.initializer.iter().find(|of| of.name == weight.name);
                assert_eq!(found, Some(weight), "{name}, {}", graph.name);
            }
        }
    }
}

/// Converters for phones turn 1-D convolutions, as of ECA, into wrong numbers, and some lack `Mean`.
#[test]
fn attention_and_ensemble_have_portable_operators() {
    for (name, config, task) in networks() {
        let vs = nn::VarStore::new(Device::Cpu);
        let network = MultiExit::build(&vs.root(), &config, task, Precision::F32).unwrap();
        let graph = network.onnx_all().unwrap();
        let kernel = graph.initializer.iter().find(|weight| weight.dims.len() == 3);
        assert!(kernel.is_none(), "{name}: {kernel:?}");
        assert!(graph.node.iter().all(|node| node.op_type != "Mean"), "{name}");
    }
}

#[test]
fn an_unsupported_layer_is_named_with_its_stage() {
    let error = |backbone, input| {
        let task = Task { input, classes: 5 };
        let vs = nn::VarStore::new(Device::Cpu);
        let config = ModelConfig { backbone, exits: None };
        let network = MultiExit::build(&vs.root(), &config, task, Precision::F32).unwrap();
        network.onnx_all().unwrap_err().to_string()
    };
    let dense = |head, attention| vgg(head, ConvConfig::Dense, attention);
    let odd = error(dense(VggHead::Linear, AttentionConfig::Tpami), FeatureShape::new(3, 36, 36));
    assert_eq!(odd, "stage 3: the tpami attention on odd sides cannot be written as ONNX");
    let uneven =
        error(dense(VggHead::Classic7x7, AttentionConfig::None), FeatureShape::new(3, 64, 96));
    let pool = "deepest: an average pool with windows of several sizes cannot be written as ONNX";
    assert_eq!(uneven, pool);
}
