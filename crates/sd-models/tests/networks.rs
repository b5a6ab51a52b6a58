//! Costs compared with PyTorch's, and networks that compute, save and load as a whole.

use std::collections::BTreeMap;

use sd_layers::{ConvConfig, Cost, FeatureShape, GroupedConfig, Precision};
use sd_models::{
    BackboneConfig, BackboneFamily, ChainConfig, ExitConfig, ExitsConfig, LightConfig,
    MobilenetV2Config, ModelConfig, MultiExit, PerStage, ResnetConfig, Stem, Task, TensorFile,
    VggConfig, VggHead, variables,
};
use tch::{Device, Kind, Tensor, nn};

const CIFAR100: Task = Task { input: FeatureShape::new(3, 32, 32), classes: 100 };
const IMAGENET: Task = Task { input: FeatureShape::new(3, 224, 224), classes: 1000 };

fn vgg_with(head: VggHead, depth: u32, width: f64, conv: ConvConfig) -> BackboneConfig {
    BackboneConfig::Vgg(VggConfig {
        depth,
        head,
        width,
        output_stride: None,
        conv: PerStage::All(conv),
        attention: PerStage::All(sd_layers::AttentionConfig::None),
    })
}

fn vgg(depth: u32, width: f64, conv: ConvConfig) -> BackboneConfig {
    vgg_with(VggHead::Linear, depth, width, conv)
}

fn resnet_with(stem: Stem, depth: u32, width: f64, conv: ConvConfig) -> BackboneConfig {
    BackboneConfig::Resnet(ResnetConfig {
        depth,
        stem,
        output_stride: None,
        width,
        conv: PerStage::All(conv),
        attention: PerStage::All(sd_layers::AttentionConfig::None),
    })
}

fn resnet(depth: u32, width: f64, conv: ConvConfig) -> BackboneConfig {
    resnet_with(Stem::Small, depth, width, conv)
}

fn of_output_stride(output_stride: i64, mut backbone: BackboneConfig) -> BackboneConfig {
    match &mut backbone {
        BackboneConfig::Resnet(config) => config.output_stride = Some(output_stride),
        BackboneConfig::Vgg(config) => config.output_stride = Some(output_stride),
        _ => unreachable!("no output stride"),
    }
    backbone
}

fn mobilenet_v2(stem: Stem, width: f64) -> BackboneConfig {
    BackboneConfig::MobilenetV2(MobilenetV2Config { stem, width })
}

fn grouped8() -> ConvConfig {
    ConvConfig::Grouped(GroupedConfig { groups: 8, shuffle: false })
}

fn built(config: &ModelConfig, task: Task) -> (nn::VarStore, MultiExit) {
    let vs = nn::VarStore::new(Device::Cpu);
    let network = MultiExit::build(&vs.root(), config, task, Precision::F32).unwrap();
    (vs, network)
}

/// PyTorch counts torchvision's networks (`scripts/golden/costs.py`): one 3×32×32 image,
/// 100 classes, stem 3×3 stride 1 without pool, linear head, 1×1 convolutions and the stem dense;
/// with `224` in the name one 3×224×224 image, 1000 classes, the network as it is, VGG's width a
/// quarter.
#[test]
fn costs_agree_with_pytorch() {
    let golden: BTreeMap<String, Cost> =
        serde_json::from_str(include_str!("golden/costs.json")).unwrap();
    let networks = [
        ("resnet18/dense", resnet(18, 1.0, ConvConfig::Dense)),
        ("resnet18/grouped8", resnet(18, 1.0, grouped8())),
        ("resnet18/depthwise_separable", resnet(18, 1.0, ConvConfig::DepthwiseSeparable)),
        ("resnet18/output_stride4", of_output_stride(4, resnet(18, 1.0, ConvConfig::Dense))),
        ("resnet34/dense", resnet(34, 1.0, ConvConfig::Dense)),
        ("resnet50/dense", resnet(50, 1.0, ConvConfig::Dense)),
        ("resnet101/dense", resnet(101, 1.0, ConvConfig::Dense)),
        ("resnet152/dense", resnet(152, 1.0, ConvConfig::Dense)),
        ("vgg11/dense", vgg(11, 1.0, ConvConfig::Dense)),
        ("vgg11/grouped8", vgg(11, 1.0, grouped8())),
        ("vgg11/depthwise_separable", vgg(11, 1.0, ConvConfig::DepthwiseSeparable)),
        ("vgg11/output_stride4", of_output_stride(4, vgg(11, 1.0, ConvConfig::Dense))),
        ("vgg13/dense", vgg(13, 1.0, ConvConfig::Dense)),
        ("vgg16/dense", vgg(16, 1.0, ConvConfig::Dense)),
        ("vgg19/dense", vgg(19, 1.0, ConvConfig::Dense)),
        ("mobilenet_v2/1.0", mobilenet_v2(Stem::Small, 1.0)),
        ("mobilenet_v2/0.75", mobilenet_v2(Stem::Small, 0.75)),
        ("mobilenet_v2/0.5", mobilenet_v2(Stem::Small, 0.5)),
        ("mobilenet_v2/0.35", mobilenet_v2(Stem::Small, 0.35)),
        ("mobilenet_v2/1.4", mobilenet_v2(Stem::Small, 1.4)),
    ];
    let large = [
        ("resnet18/224", resnet_with(Stem::Large, 18, 1.0, ConvConfig::Dense)),
        ("vgg11/224", vgg_with(VggHead::Classic7x7, 11, 0.25, ConvConfig::Dense)),
        ("mobilenet_v2/224", mobilenet_v2(Stem::Large, 1.0)),
    ];
    assert_eq!(golden.len(), networks.len() + large.len());
    let small = networks.into_iter().map(|network| (CIFAR100, network));
    let large = large.into_iter().map(|network| (IMAGENET, network));
    for (task, (name, backbone)) in small.chain(large) {
        let (vs, network) = built(&ModelConfig { backbone, exits: None }, task);
        let cost = network.framework_cost().unwrap();
        assert_eq!(cost, golden[name], "{name}");
        let elements: usize = vs.trainable_variables().iter().map(Tensor::numel).sum();
        assert_eq!(cost.params, elements as u64, "{name}");
    }
}

/// PyTorch counts the same exits, without the backbone (`scripts/golden/costs.py`).
#[test]
fn costs_of_exits_agree_with_pytorch() {
    let golden: BTreeMap<String, BTreeMap<String, Cost>> =
        serde_json::from_str(include_str!("golden/exit_costs.json")).unwrap();
    let networks = [
        ("resnet18", resnet(18, 1.0, grouped8()), vec![1, 2, 3]),
        ("vgg11", vgg(11, 1.0, grouped8()), vec![1, 2, 3, 4]),
    ];
    assert_eq!(golden.len(), networks.len());
    for (name, backbone, after) in networks {
        let kinds = ExitConfig::examples().into_iter().map(|kind| (kind.get().describe(), kind));
        let kinds: BTreeMap<String, ExitConfig> = kinds.collect();
        for (described, &expected) in &golden[name] {
            let kind = kinds[described].clone();
            let exits = Some(ExitsConfig::new(after.clone(), kind));
            let (_vs, network) =
                built(&ModelConfig { backbone: backbone.clone(), exits }, CIFAR100);
            let deployed = *network.cost_of_exits().unwrap().last().unwrap();
            let framework = network.framework_cost().unwrap();
            let found = Cost {
                params: framework.params - deployed.params,
                macs: framework.macs - deployed.macs,
            };
            assert_eq!(found, expected, "{name}: {described}");
        }
    }
}

#[test]
fn exits_work_on_any_stages() {
    let _guard = tch::no_grad_guard();
    let task = Task { input: FeatureShape::new(3, 32, 32), classes: 7 };
    let images = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
    let light = ExitConfig::Light(LightConfig::new(sd_layers::AttentionConfig::None));
    let chain = ExitConfig::Chain(ChainConfig { attention: sd_layers::AttentionConfig::None });
    let kinds = [ExitConfig::Byot, ExitConfig::Scan, ExitConfig::Tpami, light, chain];
    let families = [(vgg(11, 0.125, grouped8()), 4), (resnet(18, 0.125, grouped8()), 3)];
    for (kind, (backbone, last)) in
        kinds.iter().flat_map(|kind| families.iter().map(move |family| (kind, family)))
    {
        let with_exits = |after: &[usize]| {
            let exits = Some(ExitsConfig::new(after.to_vec(), kind.clone()));
            built(&ModelConfig { backbone: backbone.clone(), exits }, task).1
        };
        let alone: Vec<Cost> =
            (1..=*last).map(|stage| with_exits(&[stage]).cost_of_exits().unwrap()[0]).collect();
        for subset in 0..1 << last {
            let after: Vec<usize> =
                (1..=*last).filter(|stage| subset >> (stage - 1) & 1 == 1).collect();
            let name = format!("{} after {after:?}", kind.get().describe());
            let network = with_exits(&after);
            let costs = network.cost_of_exits().unwrap();
            let expected: Vec<Cost> = after.iter().map(|stage| alone[stage - 1]).collect();
            assert_eq!(costs[..after.len()], expected, "{name}");

            let outputs = network.forward_exits(&images, false);
            assert_eq!(outputs.shallow.len(), after.len(), "{name}");
            let width = outputs.deepest.feature.size();
            assert!(outputs.all().all(|exit| exit.feature.size() == width), "{name}");
            assert!(outputs.all().all(|exit| exit.logits.size() == [2, 7]), "{name}");
        }
    }
}

#[test]
fn a_side_beyond_the_map_widens_a_light_exit_on_the_whole_map() {
    let costs = |side| {
        let light = LightConfig { side, ..LightConfig::new(sd_layers::AttentionConfig::None) };
        let exits = Some(ExitsConfig::new(vec![1, 2, 3, 4], ExitConfig::Light(light)));
        let backbone = vgg(11, 0.125, grouped8());
        built(&ModelConfig { backbone, exits }, CIFAR100).1.cost_of_exits().unwrap()
    };
    // The first exit halves a map of 16x16.
    assert_ne!(costs(4), costs(8));
    assert_eq!(costs(8), costs(i64::MAX));
}

#[test]
fn stages_have_the_channels_and_strides_of_the_papers() {
    let stages = |config: BackboneConfig, side: i64| {
        let vs = nn::VarStore::new(Device::Cpu);
        let backbone = config.get().build(&vs.root(), 3).unwrap();
        let shapes = backbone.shapes(FeatureShape::new(3, side, side)).unwrap();
        let stage = |shape: FeatureShape| (shape.channels, side / shape.height);
        shapes.into_iter().map(stage).collect::<Vec<_>>()
    };
    let small = [(16, 1), (24, 1), (32, 2), (96, 4), (1280, 8)];
    assert_eq!(stages(mobilenet_v2(Stem::Small, 1.0), 32), small);
    let large = [(16, 2), (24, 4), (32, 8), (96, 16), (1280, 32)];
    assert_eq!(stages(mobilenet_v2(Stem::Large, 1.0), 224), large);
    let resnet = [(256, 4), (512, 8), (1024, 16), (2048, 32)];
    assert_eq!(stages(resnet_with(Stem::Large, 50, 1.0, ConvConfig::Dense), 224), resnet);
}

#[test]
fn every_exit_has_the_cost_and_gradients_of_its_variables() {
    let task = Task { input: FeatureShape::new(1, 32, 32), classes: 7 };
    let all = ExitConfig::examples().into_iter();
    let on_vgg = all.map(|kind| (vgg(11, 0.25, ConvConfig::DepthwiseSeparable), kind));
    let on_mobilenet = (mobilenet_v2(Stem::Small, 0.35), ExitConfig::Byot);
    for (backbone, kind) in on_vgg.chain([on_mobilenet]) {
        let name = format!("{} on {}", kind.get().describe(), backbone.get().describe());
        let exits = Some(ExitsConfig::new(vec![1, 3], kind));
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
fn every_backbone_has_the_cost_of_its_variables_and_an_original() {
    let _no_grad = tch::no_grad_guard();
    for backbone in BackboneConfig::examples() {
        let name = backbone.get().describe();
        let (vs, network) =
            built(&ModelConfig { backbone: backbone.clone(), exits: None }, CIFAR100);
        let elements: usize = vs.trainable_variables().iter().map(Tensor::numel).sum();
        assert_eq!(network.framework_cost().unwrap().params, elements as u64, "{name}");
        assert!(vs.variables().keys().all(|variable| !variable.contains("__")), "{name}");
        let images = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
        let outputs = network.forward_exits(&images, false);
        assert_eq!(outputs.deepest.logits.size(), [2, 100], "{name}");
        let original = backbone.get().dense_original();
        assert_eq!(original.get().dense_original(), original, "{name}");
    }
}

#[test]
fn an_adapter_is_a_linear_layer_on_a_feature_and_in_no_exits_cost() {
    let plain = ExitsConfig::new(vec![1, 3], ExitConfig::Byot);
    let exits = ExitsConfig { adapters: vec![2], ..plain.clone() };
    let of = |exits| ModelConfig { backbone: vgg(11, 0.25, grouped8()), exits: Some(exits) };
    let (vs, network) = built(&of(exits), CIFAR100);
    let images = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
    assert!(network.forward_exits(&images, false).adapted.is_empty(), "only training uses them");
    let outputs = network.forward_exits(&images, true);
    let variables = variables(&vs);
    let [weight, bias] = ["weight", "bias"].map(|name| &variables[&format!("adapter2.{name}")]);
    assert_eq!(outputs.adapted.len(), 1);
    assert_eq!(outputs.adapted[0], outputs.shallow[1].feature.linear(weight, Some(bias)));

    let (_vs, without) = built(&of(plain.clone()), CIFAR100);
    assert_eq!(network.cost_of_exits().unwrap(), without.cost_of_exits().unwrap());
    let framework = [&network, &without].map(|network| network.framework_cost().unwrap().params);
    assert_eq!(framework[0] - framework[1], 128 * 128 + 128);

    let beyond = ExitsConfig { adapters: vec![3], ..plain };
    let vs = nn::VarStore::new(Device::Cpu);
    let error = MultiExit::build(&vs.root(), &of(beyond), CIFAR100, Precision::F32).unwrap_err();
    assert_eq!(error.to_string(), "exits.adapters is [3], expected increasing numbers from 1 to 2");
}

#[test]
fn an_exit_alone_gives_the_same_output_as_among_all() {
    let exits = ExitsConfig::new(vec![1, 3], ExitConfig::Byot);
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
fn weights_are_restored_exactly_and_those_of_another_network_refused() {
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
fn exits_beyond_the_stages_and_lists_of_another_length_are_errors() {
    let vs = nn::VarStore::new(Device::Cpu);
    let exits = Some(ExitsConfig::new(vec![2, 5], ExitConfig::Byot));
    let config = ModelConfig { backbone: vgg(11, 0.25, ConvConfig::Dense), exits };
    let error = MultiExit::build(&vs.root(), &config, CIFAR100, Precision::F32).unwrap_err();
    assert_eq!(error.to_string(), "exits.after is [2, 5], expected increasing numbers from 1 to 4");

    let mut config = ResnetConfig {
        depth: 18,
        stem: Stem::Large,
        output_stride: None,
        width: 1.0,
        conv: PerStage::Each(vec![ConvConfig::Dense; 3]),
        attention: PerStage::All(sd_layers::AttentionConfig::None),
    };
    let vs = nn::VarStore::new(Device::Cpu);
    let error = config.build(&vs.root(), 3).unwrap_err().to_string();
    assert_eq!(error, "resnet.conv lists 3 stages, the network has 4");
    config.depth = 20;
    let error = config.build(&vs.root(), 3).unwrap_err().to_string();
    assert!(error.contains("20") && error.contains("[18, 34, 50, 101, 152]"), "{error}");
}

#[test]
fn an_unsupported_output_stride_is_refused() {
    let (resnet, vgg) = (resnet(18, 1.0, ConvConfig::Dense), vgg(11, 1.0, ConvConfig::Dense));
    let of = |family, original: &BackboneConfig, most, beyond| {
        for found in [0, -4, 3, beyond] {
            let vs = nn::VarStore::new(Device::Cpu);
            let backbone = of_output_stride(found, original.clone());
            let error = backbone.get().build(&vs.root(), 3).unwrap_err().to_string();
            let expected = format!("expected a power of two from 1 to {most}");
            assert_eq!(error, format!("{family}.output_stride is {found}, {expected}"));
        }
        let dense = of_output_stride(4, original.clone()).get().dense_original();
        assert_eq!(&dense, original, "the original halves its maps in every stage");
    };
    of("resnet", &resnet, 8, 16);
    of("vgg", &vgg, 32, 64);
}

#[test]
fn the_original_of_a_thinner_network_has_the_full_width() {
    for of_width in [|to| vgg(11, to, ConvConfig::Dense), |to| resnet(18, to, ConvConfig::Dense)] {
        let originals = [0.5, 2.0].map(|of| of_width(of).get().dense_original());
        assert_eq!(originals, [1.0, 2.0].map(of_width));
        assert!(!of_width(0.5).get().is_dense() && of_width(1.0).get().is_dense());
    }
}

#[test]
fn a_width_out_of_range_is_refused_by_every_family() {
    for width in [0.0, -1.0, 17.0, 1e300, f64::NAN] {
        let (vgg, resnet) = (vgg(11, width, grouped8()), resnet(18, width, grouped8()));
        for backbone in [vgg, resnet, mobilenet_v2(Stem::Small, width)] {
            let vs = nn::VarStore::new(Device::Cpu);
            let error = backbone.get().build(&vs.root(), 3).unwrap_err().to_string();
            let expected = format!("width is {width}, expected a number above 0, at most 16");
            assert_eq!(error, expected, "{backbone:?}");
        }
    }
}
