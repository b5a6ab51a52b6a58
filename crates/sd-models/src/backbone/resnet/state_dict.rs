//! Layer names of a ResNet in torchvision and timm, which agree.

use super::ResnetConfig;
use crate::Result;
use crate::library::{Layer, LayerKind};

pub(super) fn layers(config: &ResnetConfig) -> Result<Vec<Layer>> {
    let mut layers: Vec<Layer> = Layer::conv_norm("backbone.stem", "conv1", "bn1").into();
    for (stage, blocks) in (1..).zip(config.blocks()?) {
        for block in 0..blocks {
            let ours = format!("backbone.stage{stage}.{block}");
            let theirs = format!("layer{stage}.{block}");
            for number in 1..=if config.has_bottlenecks() { 3 } else { 2 } {
                let [conv, norm] = [("conv", "conv"), ("norm", "bn")].map(|(our, their)| {
                    (format!("{ours}.{our}{number}"), format!("{theirs}.{their}{number}"))
                });
                layers.push(Layer::new(conv.0, conv.1, LayerKind::Convolution));
                layers.push(Layer::new(norm.0, norm.1, LayerKind::BatchNorm));
            }
            if block == 0 && (stage > 1 || config.has_bottlenecks()) {
                let [conv, norm] = [0, 1].map(|part| format!("{theirs}.downsample.{part}"));
                layers.extend(Layer::conv_norm(&format!("{ours}.shortcut"), conv, norm));
            }
        }
    }
    layers.push(Layer::new("head.linear", "fc", LayerKind::Linear));
    Ok(layers)
}
