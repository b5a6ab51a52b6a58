//! Weights as inference reads them.

use sd_layers::{Precision, channels_last};
use tch::nn;

use crate::variables;

/// Keeps the weights of `vs` that mix channels, nearly all, in `precision` from now on, filters
/// channels-last: a forward pass casts and rearranges them no more, which for one image alone takes
/// longer than the convolutions. The network's answers stay the same, in `bf16` to the bit, in `f32`
/// but for the order of a sum; it can be neither trained nor saved any more.
pub fn keep_weights_for_inference(vs: &nn::VarStore, precision: Precision) {
    let _no_grad = tch::no_grad_guard();
    for mut weight in variables(vs).into_values() {
        // Depthwise filters and ECA's, few numbers, are read in `f32`; so are those of batch norm.
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
    fn a_network_answers_the_same_with_its_weights_kept_for_inference() {
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
        let [before, after] = answers(&config, Precision::Bf16);
        assert_eq!(before, after, "{}", config.describe());
        let [before, after] = answers(&config, Precision::F32);
        let apart = (before - after).abs().max().double_value(&[]);
        assert!(apart < 1e-5, "{apart}: {}", config.describe());
    }

    /// The logits before and after the weights are kept.
    fn answers(config: &ModelConfig, precision: Precision) -> [Tensor; 2] {
        let task = Task { input: FeatureShape::new(3, 32, 32), classes: 10 };
        let vs = nn::VarStore::new(Device::Cpu);
        let network = MultiExit::build(&vs.root(), config, task, precision).unwrap();
        let images = channels_last(&Tensor::rand([2, 3, 32, 32], (Kind::Float, Device::Cpu)));
        let logits = || {
            let outputs = tch::no_grad(|| network.forward_exits(&images, false));
            Tensor::cat(&outputs.all().map(|exit| &exit.logits).collect::<Vec<_>>(), 0)
        };
        let before = logits();
        keep_weights_for_inference(&vs, precision);
        let weights = variables(&vs);
        let kept = |weight: &&Tensor| weight.dim() > 1 && weight.kind() == precision.kind();
        assert!(weights.values().filter(kept).count() > 8, "weights are kept");
        [before, logits()]
    }
}
