//! Layer names of a MobileNetV2 in torchvision and timm.

use super::STAGES;
use crate::library::{Layer, LayerKind, Library};

/// Names of a convolution and of its batch norm.
type Names = (String, String);

pub(super) fn layers(library: Library) -> Vec<Layer> {
    let (stem, last, linear) = match library {
        Library::Torchvision => {
            (("features.0.0", "features.0.1"), ("features.18.0", "features.18.1"), "classifier.1")
        }
        Library::Timm => (("conv_stem", "bn1"), ("conv_head", "bn2"), "classifier"),
    };
    let mut layers: Vec<Layer> = Layer::conv_norm("backbone.stem", stem.0, stem.1).into();
    for Block { ours, theirs, expands } in blocks(library) {
        let parts: &[&str] = match expands {
            true => &["expand", "depthwise", "project"],
            false => &["depthwise", "project"],
        };
        for (index, part) in parts.iter().enumerate() {
            let (conv, norm) = match library {
                Library::Torchvision => torchvision(&theirs, index, parts.len()),
                Library::Timm => timm(&theirs, part, index, expands),
            };
            layers.extend(Layer::conv_norm(&format!("{ours}.{part}"), conv, norm));
        }
    }
    layers.extend(Layer::conv_norm("backbone.stage5.last", last.0, last.1));
    layers.push(Layer::new("head.linear", linear, LayerKind::Linear));
    layers
}

/// The names of a block, and whether it has an expanding convolution.
struct Block {
    ours: String,
    theirs: String,
    expands: bool,
}

/// torchvision numbers the blocks consecutively, timm the rows of the paper's table and the blocks
/// within a row.
fn blocks(library: Library) -> Vec<Block> {
    let (mut number, mut row_index) = (0, 0);
    let mut blocks = Vec::new();
    for (stage, rows) in (1..).zip(STAGES) {
        let mut block = 0;
        for row in rows {
            for within in 0..row.blocks {
                number += 1;
                let theirs = match library {
                    Library::Torchvision => format!("features.{number}"),
                    Library::Timm => format!("blocks.{row_index}.{within}"),
                };
                let ours = format!("backbone.stage{stage}.{block}");
                blocks.push(Block { ours, theirs, expands: row.expansion != 1 });
                block += 1;
            }
            row_index += 1;
        }
    }
    blocks
}

/// Convolution, batch norm and ReLU6 are one numbered module. The last convolution and its norm, which
/// no ReLU6 follows, have numbers of their own.
fn torchvision(block: &str, index: usize, parts: usize) -> Names {
    if index + 1 == parts {
        (format!("{block}.conv.{index}"), format!("{block}.conv.{}", index + 1))
    } else {
        (format!("{block}.conv.{index}.0"), format!("{block}.conv.{index}.1"))
    }
}

/// The last convolution is `conv_pw` in a block without an expanding one, else `conv_pwl`.
fn timm(block: &str, part: &str, index: usize, expands: bool) -> Names {
    let conv = match (part, expands) {
        ("depthwise", _) => "conv_dw",
        ("project", true) => "conv_pwl",
        _ => "conv_pw",
    };
    (format!("{block}.{conv}"), format!("{block}.bn{}", index + 1))
}
