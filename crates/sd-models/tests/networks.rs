//! Counts against PyTorch's own, and networks that learn, save and load as a whole.

use std::collections::BTreeMap;

use sd_layers::{ConvConfig, Cost, FeatureShape, GroupedConfig, Precision};
use sd_models::{
    BackboneConfig, ExitConfig, ExitsConfig, ModelConfig, MultiExit, PerStage, ResnetConfig, Stem,
    Task, TensorFile, VggConfig, VggHead, variables,
};
use tch::{Device, Kind, Tensor, nn};

const CIFAR100: Task = Task { input: FeatureShape::new(3, 32, 32), classes: 100 };

fn vgg(depth: u32, width: f64, conv: ConvConfig) -> BackboneConfig {
    BackboneConfig::Vgg(VggConfig {
        depth,
        head: VggHead::Linear,
        width,
        conv: PerStage::All(conv),
        attention: PerStage::All(sd_layers::AttentionConfig::None),
    })
}

fn resnet(depth: u32, conv: ConvConfig) -> BackboneConfig {
    BackboneConfig::Resnet(ResnetConfig {
        depth,
        stem: Stem::Small,
        width: 1.0,
        conv: PerStage::All(conv),
        attention: PerStage::All(sd_layers::AttentionConfig::None),
    })
}

fn grouped8() -> ConvConfig {
    ConvConfig::Grouped(GroupedConfig { groups: 8, shuffle: false })
}

fn built(config: &ModelConfig, task: Task) -> (nn::VarStore, MultiExit) {
    let vs = nn::VarStore::new(Device::Cpu);
    let network = MultiExit::build(&vs.root(), config, task, Precision::F32).unwrap();
    (vs, network)
}

/// What PyTorch counts on torchvision's networks (`scripts/golden/costs.py`): one 3×32×32 image,
/// 100 classes, stem 3×3 stride 1 without pool, linear head, 1×1 convolutions and the stem dense.
#[test]
fn costs_are_those_that_pytorch_counts() {
    let golden: BTreeMap<String, Cost> =
        serde_json::from_str(include_str!("golden/costs.json")).unwrap();
    let networks = [
        ("resnet18/dense", resnet(18, ConvConfig::Dense)),
        ("resnet18/grouped8", resnet(18, grouped8())),
        ("resnet18/depthwise_separable", resnet(18, ConvConfig::DepthwiseSeparable)),
        ("resnet34/dense", resnet(34, ConvConfig::Dense)),
        ("resnet50/dense", resnet(50, ConvConfig::Dense)),
        ("vgg11/dense", vgg(11, 1.0, ConvConfig::Dense)),
        ("vgg11/grouped8", vgg(11, 1.0, grouped8())),
        ("vgg11/depthwise_separable", vgg(11, 1.0, ConvConfig::DepthwiseSeparable)),
    ];
    assert_eq!(golden.len(), networks.len());
    for (name, backbone) in networks {
        let (vs, network) = built(&ModelConfig { backbone, exits: None }, CIFAR100);
        let cost = network.framework_cost().unwrap();
        assert_eq!(cost, golden[name], "{name}");
        let elements: usize = vs.trainable_variables().iter().map(Tensor::numel).sum();
        assert_eq!(cost.params, elements as u64, "{name}");
    }
}

#[test]
fn every_exit_counts_what_it_holds_and_receives_a_gradient() {
    let task = Task { input: FeatureShape::new(1, 32, 32), classes: 7 };
    for kind in ExitConfig::examples() {
        let name = kind.describe();
        let exits = Some(ExitsConfig { after: vec![1, 3], kind });
        let backbone = vgg(11, 0.25, ConvConfig::DepthwiseSeparable);
        let (vs, network) = built(&ModelConfig { backbone, exits }, task);
        let elements: usize = vs.trainable_variables().iter().map(Tensor::numel).sum();
        assert_eq!(network.framework_cost().unwrap().params, elements as u64, "{name}");

        let images = Tensor::randn([4, 1, 32, 32], (Kind::Float, Device::Cpu));
        let outputs = network.forward_exits(&images, true);
        let width = outputs.deepest.feature.size();
        assert!(outputs.all().all(|exit| exit.feature.size() == width), "{name}");
        let probe = Tensor::randn([4, 7], (Kind::Float, Device::Cpu));
        let loss: Tensor = outputs.all().map(|exit| (&exit.logits * &probe).sum(None)).sum();
        loss.backward();
        for (variable, value) in vs.variables() {
            assert!(!variable.contains("__"), "{variable}");
            let learns = !value.requires_grad() || value.grad().defined();
            assert!(learns, "{name}: {variable} has no gradient");
        }
    }
}

#[test]
fn until_an_exit_is_what_that_exit_says_among_all() {
    let exits = ExitsConfig { after: vec![1, 3], kind: ExitConfig::Byot };
    let config = ModelConfig { backbone: vgg(11, 0.25, grouped8()), exits: Some(exits) };
    let (_vs, network) = built(&config, CIFAR100);
    let images = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
    let outputs = network.forward_exits(&images, false);
    for (exit, expected) in outputs.all().enumerate() {
        let found = network.forward_until(&images, exit, false).unwrap();
        assert_eq!(found.logits, expected.logits, "exit {exit}");
        assert_eq!(found.feature, expected.feature, "exit {exit}");
    }
    assert!(network.forward_until(&images, 3, false).is_none());
}

#[test]
fn weights_come_back_to_the_bit_and_those_of_another_network_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let config = ModelConfig { backbone: vgg(11, 0.25, grouped8()), exits: None };
    let (vs, _) = built(&config, CIFAR100);
    let metadata = [("experiment".to_owned(), "name = 1".to_owned())];
    let file = TensorFile { tensors: variables(&vs), metadata: metadata.into() };
    std::fs::write(&path, file.to_bytes().unwrap()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), file.to_bytes().unwrap());

    let read = TensorFile::read(&path).unwrap();
    assert_eq!(read.metadata["experiment"], "name = 1");
    let (other, _) = built(&config, CIFAR100);
    read.copy_into(&variables(&other), &path).unwrap();
    for (name, value) in variables(&vs) {
        assert_eq!(value, variables(&other)[&name], "{name}");
    }

    let ten = Task { classes: 10, ..CIFAR100 };
    let (smaller, _) = built(&config, ten);
    let error = read.copy_into(&variables(&smaller), &path).unwrap_err().to_string();
    assert!(error.contains("another configuration") && error.contains("head.linear"), "{error}");

    let bytes = std::fs::read(&path).unwrap();
    let damaged = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        TensorFile::read(&path).unwrap_err().to_string()
    };
    let error = damaged(&bytes[..bytes.len() / 2]);
    assert!(error.contains("model.safetensors"), "{error}");
    // A bit of a weight, and one of the configuration's text.
    let experiment = bytes.windows(8).position(|text| text == b"name = 1").unwrap();
    for at in [bytes.len() - 100, experiment + 7] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let error = damaged(&flipped);
        assert!(error.contains("model.safetensors") && error.contains("checksum"), "{error}");
    }
}

#[test]
fn exits_beyond_the_stages_and_lists_of_another_length_are_errors_that_name_both() {
    let vs = nn::VarStore::new(Device::Cpu);
    let exits = Some(ExitsConfig { after: vec![2, 5], kind: ExitConfig::Byot });
    let config = ModelConfig { backbone: vgg(11, 0.25, ConvConfig::Dense), exits };
    let error = MultiExit::build(&vs.root(), &config, CIFAR100, Precision::F32).unwrap_err();
    assert_eq!(error.to_string(), "exits.after is [2, 5], expected increasing numbers from 1 to 4");

    let mut config = ResnetConfig {
        depth: 18,
        stem: Stem::Large,
        width: 1.0,
        conv: PerStage::Each(vec![ConvConfig::Dense; 3]),
        attention: PerStage::All(sd_layers::AttentionConfig::None),
    };
    let vs = nn::VarStore::new(Device::Cpu);
    let error = config.build(&vs.root(), 3).unwrap_err().to_string();
    assert_eq!(error, "resnet.conv lists 3 stages, the network has 4");
    config.depth = 20;
    let error = config.build(&vs.root(), 3).unwrap_err().to_string();
    assert!(error.contains("20") && error.contains("[18, 34, 50]"), "{error}");
}
