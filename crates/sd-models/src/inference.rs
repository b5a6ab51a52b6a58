//! Weights prepared for inference.

use sd_layers::{Precision, channels_last};
use tch::nn;

use crate::variables;

/// Converts the weights of `vs` that mix channels, nearly all, to `precision`, and filters to
/// channels-last. A forward pass then neither casts nor reorders them, which otherwise dominates at
/// batch size 1. The outputs stay the same, in `bf16` to the bit, in `f32` up to the order of a sum;
/// the network can no longer be trained or saved.
pub fn prepare_for_inference(vs: &nn::VarStore, precision: Precision) {
    let _no_grad = tch::no_grad_guard();
    for mut weight in variables(vs).into_values() {
        // Depthwise filters, ECA's and batch norm's parameters are read in `f32`.
        let mixes_channels = matches!(weight.size()[..], [_, inputs, ..] if inputs > 1);
        if mixes_channels {
            let cast = weight.to_kind(precision.kind());
            weight.set_data(&if cast.dim() == 4 { channels_last(&cast) } else { cast });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        BackboneConfig, ExitConfig, ExitsConfig, ModelConfig, MultiExit, PerStage, Task, VggConfig,
        VggHead,
    };
    use sd_layers::{AttentionConfig, ConvConfig, FeatureShape};
    use tch::{Device, Kind, Tensor};

    #[test]
    fn outputs_are_the_same_with_weights_prepared_for_inference() {
        let convs = ConvConfig::examples().into_iter().map(|conv| (conv, AttentionConfig::None));
        let attentions = AttentionConfig::examples().into_iter();
        let attentions = attentions.map(|attention| (ConvConfig::Dense, attention));
        for (conv, attention) in convs.chain(attentions) {
            same(vgg(conv, attention), ExitConfig::Byot);
        }
        for exit in ExitConfig::examples() {
            same(vgg(ConvConfig::DepthwiseSeparable, AttentionConfig::None), exit);
        }
        for backbone in BackboneConfig::examples() {
            same(backbone, ExitConfig::Byot);
        }
    }

    fn vgg(conv: ConvConfig, attention: AttentionConfig) -> BackboneConfig {
        BackboneConfig::Vgg(VggConfig {
            depth: 11,
            head: VggHead::Linear,
            width: 0.25,
            output_stride: None,
            conv: PerStage::All(conv),
            attention: PerStage::All(attention),
        })
    }

    fn same(backbone: BackboneConfig, exit: ExitConfig) {
        let config = ModelConfig { backbone, exits: Some(ExitsConfig::new(vec![2], exit)) };
        let [before, after] = logits_before_and_after(&config, Precision::Bf16);
        assert_eq!(before, after, "{}", config.describe());
        let [before, after] = logits_before_and_after(&config, Precision::F32);
        let difference = (before - after).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "{difference}: {}", config.describe());
    }

    /// The logits before and after the weights are prepared.
    fn logits_before_and_after(config: &ModelConfig, precision: Precision) -> [Tensor; 2] {
        let task = Task { input: FeatureShape::new(3, 32, 32), classes: 10 };
        let vs = nn::VarStore::new(Device::Cpu);
        let network = MultiExit::build(&vs.root(), config, task, precision).unwrap();
        let images = channels_last(&Tensor::rand([2, 3, 32, 32], (Kind::Float, Device::Cpu)));
        let logits = || {
            let outputs = tch::no_grad(|| network.forward_exits(&images, false));
            Tensor::cat(&outputs.all().map(|exit| &exit.logits).collect::<Vec<_>>(), 0)
        };
        let before = logits();
        prepare_for_inference(&vs, precision);
        let weights = variables(&vs);
        let prepared = |weight: &&Tensor| weight.dim() > 1 && weight.kind() == precision.kind();
        assert!(weights.values().filter(prepared).count() > 8, "weights are prepared");
        [before, logits()]
    }
}
