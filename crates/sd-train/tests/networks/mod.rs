//! Networks to hold other programs against: those of configs/, and small ones with each kind of
//! convolution, attention and exit; and random weights for them.

use std::path::Path;

use sd_layers::{AttentionConfig, ConvConfig, FeatureShape, GroupedConfig};
use sd_models::{
    BackboneConfig, ExitConfig, ExitsConfig, ModelConfig, PerStage, ResnetConfig, Stem, Task,
    VggConfig, VggHead,
};
use sd_train::experiment::Experiment;
use tch::nn;

/// Random weights and statistics with which activations keep their size.
pub fn randomise(vs: &nn::VarStore) {
    for (name, mut variable) in vs.variables() {
        if name.ends_with("running_var") {
            let _ = variable.uniform_(0.5, 2.0);
        } else if variable.dim() == 1 {
            // A residual branch ends small, or fifty layers of sums would explode.
            let last = name.ends_with("norm2.weight") || name.ends_with("norm3.weight");
            let branch = name.contains(".branch") || name.contains(".identity");
            let scale = match (last, branch) {
                (true, _) => 0.2,
                (_, true) => 3f64.powf(-0.5), // The variances of three branches add up.
                _ => 1.0,
            };
            variable.set_data(&(&variable * scale + variable.randn_like() * 0.2));
        } else if name.ends_with("weight") {
            // He's deviation, √6 times PyTorch's: logits of trained networks' size.
            variable.set_data(&(&variable * 6f64.sqrt()));
        }
    }
}

/// The networks of configs/, and small ones with each kind of convolution, attention and exit, as they
/// are deployed: with merged branches.
pub fn networks() -> Vec<(String, ModelConfig, Task)> {
    let mut all = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    for folder in [root.clone(), root.join("cifar100")] {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let experiment = Experiment::read(&path, &[], None).unwrap();
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                all.push((name, experiment.model.clone(), experiment.task()));
            }
        }
    }
    let task = Task { input: FeatureShape::new(3, 40, 48), classes: 5 };
    let vgg = |conv, attention, head| {
        let all = (PerStage::All(conv), PerStage::All(attention));
        BackboneConfig::Vgg(VggConfig {
            depth: 11,
            head,
            width: 0.25,
            output_stride: None,
            conv: all.0,
            attention: all.1,
        })
    };
    let resnet = |depth, stem, attention| {
        BackboneConfig::Resnet(ResnetConfig {
            depth,
            stem,
            output_stride: None,
            width: 0.25,
            conv: PerStage::All(ConvConfig::Grouped(GroupedConfig { groups: 8, shuffle: true })),
            attention: PerStage::All(attention),
        })
    };
    for (index, conv) in ConvConfig::examples().into_iter().enumerate() {
        let backbone = vgg(conv, AttentionConfig::None, VggHead::Classic);
        all.push((format!("conv{index}"), ModelConfig { backbone, exits: None }, task));
    }
    for attention in AttentionConfig::examples() {
        // Its enlargement is written for even sides alone.
        let even = attention == AttentionConfig::Tpami;
        let input = if even { FeatureShape::new(3, 64, 96) } else { task.input };
        let task = Task { input, ..task };
        let name = attention.to_string();
        let backbone = vgg(ConvConfig::Dense, attention.clone(), VggHead::Linear);
        all.push((format!("vgg-{name}"), ModelConfig { backbone, exits: None }, task));
        let backbone = resnet(50, Stem::Small, attention);
        all.push((format!("resnet-{name}"), ModelConfig { backbone, exits: None }, task));
    }
    for (index, kind) in ExitConfig::examples().into_iter().enumerate() {
        let backbone = resnet(18, Stem::Large, AttentionConfig::None);
        let task = Task { input: FeatureShape::new(3, 64, 96), ..task };
        let exits = Some(ExitsConfig::new(vec![1, 3], kind));
        all.push((format!("exit{index}"), ModelConfig { backbone, exits }, task));
    }
    all.into_iter().map(|(name, model, task)| (name, model.merged(), task)).collect()
}
