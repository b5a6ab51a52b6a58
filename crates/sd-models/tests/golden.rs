//! Exits, stages and whole networks compared with PyTorch: features and logits from the same weights,
//! in evaluation and while training (`scripts/golden/networks.py`).

use sd_golden::Case;
use sd_layers::{
    AttentionConfig, ConvConfig, EcaConfig, FeatureShape, GroupedConfig, Precision,
    SqueezeExciteConfig,
};
use sd_models::{
    BackboneConfig, ChainConfig, ExitConfig, ExitGeometry, ExitsConfig, LightConfig, ModelConfig,
    MultiExit, PerStage, ResnetConfig, Stem, Task, VggConfig, VggHead,
};
use tch::nn::ModuleT;
use tch::{Device, Tensor, nn};

const CLASSES: i64 = 5;
/// Width at which the last stages of a ResNet or VGG have 16 channels, the others 8.
const NARROW: f64 = 0.03;

fn case(file: &str, name: &str) -> Case {
    Case::read(env!("CARGO_MANIFEST_DIR"), file, name)
}

/// Compares the running statistics after one training step.
fn running_statistics_agree(case: &Case, variables: impl IntoIterator<Item = (String, Tensor)>) {
    let variables: Vec<_> = variables.into_iter().collect();
    let after = case.named("after");
    let running = variables.iter().filter(|(name, _)| name.contains("running"));
    assert_eq!(running.count(), after.len());
    for (name, value) in variables.iter().filter(|(name, _)| after.contains_key(name)) {
        case.agrees(&format!("after/{name}"), value);
    }
}

fn light(attention: AttentionConfig) -> ExitConfig {
    ExitConfig::Light(LightConfig::new(attention))
}

fn eca() -> AttentionConfig {
    AttentionConfig::Eca(EcaConfig::default())
}

fn squeeze_excite() -> AttentionConfig {
    AttentionConfig::SqueezeExcite(SqueezeExciteConfig { reduction: 4 })
}

fn grouped4() -> ConvConfig {
    ConvConfig::Grouped(GroupedConfig { groups: 4, shuffle: true })
}

#[test]
fn exits_agree_with_pytorch() {
    let last = FeatureShape::new(16, 2, 2);
    let chain = ExitConfig::Chain(ChainConfig { attention: eca() });
    let exits = [
        ("byot", ExitConfig::Byot, 8),
        ("byot_at_the_last_size", ExitConfig::Byot, 2),
        // At the last stage's size, which keeps the file small: the bottleneck has 128 channels.
        ("scan", ExitConfig::Scan, 2),
        ("tpami", ExitConfig::Tpami, 8),
        ("tpami_odd", ExitConfig::Tpami, 7),
        ("tpami_at_the_last_size", ExitConfig::Tpami, 2),
        ("light", light(eca()), 8),
        ("light_side_2", ExitConfig::Light(LightConfig { side: 2, ..LightConfig::new(eca()) }), 8),
        ("light_squeeze_excite", light(squeeze_excite()), 8),
        ("chain", chain.clone(), 16),
        ("chain_odd", chain.clone(), 7),
        ("chain_at_the_last_size", chain, 2),
    ];
    for (name, kind, side) in exits {
        let case = case("exits.safetensors", name);
        let vs = nn::VarStore::new(Device::Cpu);
        let map = FeatureShape::new(8, side, side);
        let exit = kind.build(&vs.root(), ExitGeometry { map, last, classes: CLASSES }).unwrap();
        case.load(vs.variables());
        for (mode, train) in [("eval", false), ("train", true)] {
            let output = exit.forward(&case.get("input"), train);
            case.agrees(&format!("features_{mode}"), &output.feature);
            case.agrees(&format!("logits_{mode}"), &output.logits);
        }
        running_statistics_agree(&case, vs.variables());
    }
}

fn resnet(depth: u32, width: f64, conv: ConvConfig, attention: AttentionConfig) -> BackboneConfig {
    BackboneConfig::Resnet(ResnetConfig {
        depth,
        stem: Stem::Small,
        output_stride: None,
        width,
        conv: PerStage::All(conv),
        attention: PerStage::All(attention),
    })
}

#[test]
fn stages_of_residual_blocks_agree_with_pytorch() {
    let eighth = |depth, conv, attention| resnet(depth, 0.125, conv, attention);
    let stages = [
        ("basic_stage1", eighth(18, ConvConfig::Dense, AttentionConfig::None), 1),
        ("basic_stage2", eighth(18, ConvConfig::DepthwiseSeparable, squeeze_excite()), 2),
        ("bottleneck_stage1", eighth(50, grouped4(), AttentionConfig::None), 1),
    ];
    for (name, config, number) in stages {
        let case = case("stages.safetensors", name);
        let vs = nn::VarStore::new(Device::Cpu);
        let backbone = config.get().build(&vs.root(), 3).unwrap();
        let prefix = format!("stage{number}.");
        let variables = || {
            let inside = |(name, value): (String, Tensor)| {
                Some((name.strip_prefix(&prefix)?.to_owned(), value))
            };
            vs.variables().into_iter().filter_map(inside)
        };
        case.load(variables());
        let blocks = &backbone.stages[number - 1];
        for (mode, train) in [("eval", false), ("train", true)] {
            let map = blocks.forward_t(&case.get("input"), train);
            case.agrees(&format!("map_{mode}"), &map);
        }
        running_statistics_agree(&case, variables());
    }
}

#[test]
fn whole_networks_agree_with_pytorch() {
    let vgg11 = BackboneConfig::Vgg(VggConfig {
        depth: 11,
        head: VggHead::Linear,
        width: NARROW,
        output_stride: None,
        conv: PerStage::All(ConvConfig::DepthwiseSeparable),
        attention: PerStage::All(AttentionConfig::None),
    });
    let resnet18 = resnet(18, NARROW, grouped4(), AttentionConfig::None);
    let networks = [
        ("resnet18", resnet18, ExitsConfig::new(vec![2, 3], ExitConfig::Byot), 16),
        ("vgg11", vgg11, ExitsConfig::new(vec![2, 4], light(eca())), 32),
    ];
    for (name, backbone, exits, side) in networks {
        let case = case("networks.safetensors", name);
        let vs = nn::VarStore::new(Device::Cpu);
        let config = ModelConfig { backbone, exits: Some(exits) };
        let task = Task { input: FeatureShape::new(3, side, side), classes: CLASSES };
        let network = MultiExit::build(&vs.root(), &config, task, Precision::F32).unwrap();
        case.load(vs.variables());
        for (mode, train) in [("eval", false), ("train", true)] {
            let outputs = network.forward_exits(&case.get("input"), train);
            let (features, logits): (Vec<&Tensor>, Vec<&Tensor>) =
                outputs.all().map(|exit| (&exit.feature, &exit.logits)).unzip();
            case.agrees(&format!("features_{mode}"), &Tensor::stack(&features, 0));
            case.agrees(&format!("logits_{mode}"), &Tensor::stack(&logits, 0));
        }
        running_statistics_agree(&case, vs.variables());
    }
}
