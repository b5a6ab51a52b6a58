//! Networks whose convolutions have branches, and the networks that they become.

use sd_layers::{AttentionConfig, ConvConfig, FeatureShape, Precision};
use sd_models::{
    BackboneConfig, ExitConfig, ExitsConfig, ModelConfig, MultiExit, PerStage, ResnetConfig, Stem,
    Task, TensorFile, VggConfig, VggHead, merge_branches, variables,
};
use tch::{Device, Kind, Tensor, nn};

fn vgg11(conv: &ConvConfig) -> BackboneConfig {
    BackboneConfig::Vgg(VggConfig {
        depth: 11,
        head: VggHead::Linear,
        width: 0.25,
        output_stride: None,
        conv: PerStage::All(conv.clone()),
        attention: PerStage::All(AttentionConfig::None),
    })
}

fn resnet(depth: u32, conv: &ConvConfig) -> BackboneConfig {
    BackboneConfig::Resnet(ResnetConfig {
        depth,
        stem: Stem::Small,
        output_stride: None,
        width: 0.25,
        conv: PerStage::All(conv.clone()),
        attention: PerStage::All(AttentionConfig::None),
    })
}

fn built(config: &ModelConfig, task: Task) -> (nn::VarStore, MultiExit) {
    let vs = nn::VarStore::new(Device::Cpu);
    let network = MultiExit::build(&vs.root(), config, task, Precision::F32).unwrap();
    (vs, network)
}

/// The merged network has other weights, the same outputs, and the cost that was counted.
#[test]
fn a_network_with_merged_branches_computes_the_same_in_evaluation() {
    let images = |number: i64| Tensor::randn([number, 3, 32, 32], (Kind::Float, Device::Cpu));
    let task = Task { input: FeatureShape::new(3, 32, 32), classes: 10 };
    for conv in [ConvConfig::ReparameterisedDense, ConvConfig::ReparameterisedSeparable] {
        for backbone in [vgg11(&conv), resnet(18, &conv), resnet(50, &conv)] {
            let exits = Some(ExitsConfig::new(vec![1, 3], ExitConfig::Byot));
            let config = ModelConfig { backbone, exits };
            let (vs, network) = built(&config, task);
            // Away from the initial statistics, scales and shifts.
            tch::no_grad(|| {
                for (name, mut variable) in vs.variables() {
                    if variable.dim() == 1 && !name.contains("running") {
                        let _ = variable.g_add_(&(variable.randn_like() * 0.1));
                    }
                }
                for _ in 0..10 {
                    let _ = network.forward_exits(&images(8), true);
                }
            });
            let (merged_vs, merged) = built(&config.merged(), task);
            let tensors = merge_branches(variables(&vs));
            let file = TensorFile { tensors, metadata: Default::default() };
            file.copy_into(&variables(&merged_vs), std::path::Path::new("merged")).unwrap();

            let name = config.describe();
            let input = images(2);
            let outputs = [&network, &merged].map(|one| one.forward_exits(&input, false));
            for (expected, found) in outputs[0].all().zip(outputs[1].all()) {
                let scale = expected.logits.abs().max().double_value(&[]).max(1.0);
                let difference = (&expected.logits - &found.logits).abs().max().double_value(&[]);
                assert!(difference < 1e-5 * scale, "{name}: {difference} of {scale}");
            }
            let elements: usize = merged_vs.trainable_variables().iter().map(Tensor::numel).sum();
            let costs = [&network, &merged].map(|one| one.framework_cost().unwrap());
            assert_eq!(costs[0], costs[1], "{name}");
            assert_eq!(costs[0].params, elements as u64, "{name}");
        }
    }
}
