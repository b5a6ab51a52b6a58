//! Layer names of a MobileNetV2 in torchvision and timm.

use super::STAGES;
use crate::library::{Layer, LayerKind, Library};

/// Names of a convolution and of its batch norm.
type Names = (String, String);

pub(super) fn layers(library: Library) -> Vec<Layer> {
    let owned = |(conv, norm): (&str, &str)| (conv.to_owned(), norm.to_owned());
    let (stem, last, linear) = match library {
        Library::Torchvision => {
            (("features.0.0", "features.0.1"), ("features.18.0", "features.18.1"), "classifier.1")
        }
        Library::Timm => (("conv_stem", "bn1"), ("conv_head", "bn2"), "classifier"),
    };
    let mut pairs = vec![("backbone.stem".to_owned(), owned(stem))];
    for (place, expands) in blocks(library) {
        let parts: &[&str] = match expands {
            true => &["expand", "depthwise", "project"],
            false => &["depthwise", "project"],
        };
        for (index, part) in parts.iter().enumerate() {
            let theirs = match library {
                Library::Torchvision => torchvision(&place.theirs, index, parts.len()),
                Library::Timm => timm(&place.theirs, part, index, expands),
            };
            pairs.push((format!("{}.{part}", place.ours), theirs));
        }
    }
    pairs.push(("backbone.stage5.last".to_owned(), owned(last)));
    let named =
        pairs.into_iter().flat_map(|(ours, (conv, norm))| Layer::conv_norm(&ours, conv, norm));
    named.chain([Layer::new("head.linear", linear, LayerKind::Linear)]).collect()
}

struct Place {
    ours: String,
    theirs: String,
}

/// Each block's names, and whether it has an expanding convolution. torchvision numbers the blocks
/// consecutively, timm the rows of the paper's table and the blocks within a row.
fn blocks(library: Library) -> Vec<(Place, bool)> {
    let (mut number, mut row_index) = (0, 0);
    let mut places = Vec::new();
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
                places.push((Place { ours, theirs }, row.expansion != 1));
                block += 1;
            }
            row_index += 1;
        }
    }
    places
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
