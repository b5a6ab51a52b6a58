//! Layer names of a VGG with batch norm in torchvision (`vgg*_bn`) and timm, which differ in the head.

use super::{VggConfig, VggHead};
use crate::Result;
use crate::library::{Layer, LayerKind, Library};

pub(super) fn layers(library: Library, config: &VggConfig) -> Result<Vec<Layer>> {
    let mut layers = Vec::new();
    // Indices in their list: a convolution, batch norm and ReLU each, a max pool after a stage.
    let mut number = 0;
    for (stage, convolutions) in (1..).zip(config.convolutions()?) {
        for layer in 0..convolutions {
            let ours = match (stage, layer) {
                (1, 0) => "backbone.stem".to_owned(),
                _ => format!("backbone.stage{stage}.{layer}"),
            };
            let norm = format!("{ours}.norm");
            let biased = LayerKind::BiasedConvolution(norm.clone());
            layers.push(Layer::new(format!("{ours}.conv"), format!("features.{number}"), biased));
            let after = format!("features.{}", number + 1);
            layers.push(Layer::new(norm, after, LayerKind::BatchNorm));
            number += 3;
        }
        number += 1;
    }
    layers.extend(head(library, config.head));
    Ok(layers)
}

/// torchvision's classifier is the classic one. With `avgpool = AdaptiveAvgPool2d(1)`, its first
/// layer reads one position, and one linear layer can replace all three.
fn head(library: Library, head: VggHead) -> Vec<Layer> {
    use LayerKind::{Linear, LinearAsConvolution};
    let [first, second, last] = ["head.hidden1", "head.hidden2", "head.linear"];
    match (library, head) {
        (Library::Torchvision, VggHead::Linear) => vec![Layer::new(last, "classifier", Linear)],
        (Library::Torchvision, VggHead::Classic | VggHead::Classic7x7) => vec![
            Layer::new(first, "classifier.0", Linear),
            Layer::new(second, "classifier.3", Linear),
            Layer::new(last, "classifier.6", Linear),
        ],
        (Library::Timm, VggHead::Classic7x7) => vec![
            Layer::new(first, "pre_logits.fc1", LinearAsConvolution(7)),
            Layer::new(second, "pre_logits.fc2", LinearAsConvolution(1)),
            Layer::new(last, "head.fc", Linear),
        ],
        (Library::Timm, VggHead::Linear | VggHead::Classic) => vec![],
    }
}
