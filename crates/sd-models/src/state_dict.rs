//! State dicts of torchvision and timm: the same tensors under other names.
//!
//! torchvision 0.26 and timm 1.0 agree on the names of a ResNet's tensors; their VGGs differ in the
//! head, their MobileNetV2s throughout. Two things differ in more than the name:
//!
//! - Their VGG's convolutions have a bias, ours have none. The batch norm after it subtracts the mean,
//!   so a bias b is the same as a running mean lower by b: import subtracts it from the mean, export
//!   writes zeros.
//! - timm computes the VGG head's first layers as convolutions, 7×7 and 1×1: `[O, C, 7, 7]` is our
//!   `[O, C · 49]`, in the same order.
//!
//! Batch norm's number of batches, which is not used, is dropped on import and zero on export.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::library::LayerKind;
use crate::{BackboneConfig, Error, Library, Result, TensorFile};

/// Prefixes of the names of a head's tensors in the libraries.
const HEADS: [&str; 4] = ["fc.", "classifier.", "pre_logits.", "head."];

impl Library {
    /// Checks that the library has this network. Width, stem, output stride and classes, on which no
    /// tensor's name depends, are not checked.
    ///
    /// # Errors
    /// [`Error::NoCounterpart`] names what it has instead.
    pub fn check(self, backbone: &BackboneConfig) -> Result<()> {
        let (library, network) = (self.into(), backbone.get().describe());
        match backbone.get().missing_from(self) {
            None => Ok(()),
            Some(expected) => Err(Error::NoCounterpart { library, network, expected }),
        }
    }

    /// Renames the tensors of a state dict to those of our network, whether complete or not. A tensor
    /// without a counterpart keeps its name, after `head.` if it is part of the head, so that a strict
    /// copy refuses it ([`TensorFile::copy_into`]). `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a bias that is missing or differs in shape from its running mean.
    pub fn import(
        self,
        backbone: &BackboneConfig,
        state_dict: TensorFile,
        path: &Path,
    ) -> Result<TensorFile> {
        let mut theirs = state_dict.tensors;
        let mut ours = BTreeMap::new();
        let layers = backbone.get().layer_names(self)?;
        for layer in &layers {
            for tensor in layer.tensors() {
                if let Some(found) = theirs.remove(&format!("{}.{tensor}", layer.theirs)) {
                    let found = match layer.kind {
                        LayerKind::LinearAsConvolution(side) => as_linear(found, side),
                        _ => found,
                    };
                    ours.insert(format!("{}.{tensor}", layer.ours), found);
                }
            }
            if let LayerKind::BatchNorm = layer.kind {
                theirs.remove(&format!("{}.num_batches_tracked", layer.theirs));
            }
        }
        for layer in &layers {
            let LayerKind::BiasedConvolution(norm) = &layer.kind else { continue };
            let Some(mean) = ours.get_mut(&format!("{norm}.running_mean")) else { continue };
            let name = format!("{}.bias", layer.theirs);
            let mismatch = |difference| Error::Mismatch { path: path.to_owned(), difference };
            let bias =
                theirs.remove(&name).ok_or_else(|| mismatch(format!("{name} is missing")))?;
            if bias.size() != mean.size() || bias.kind() != mean.kind() {
                let found = format!("{:?} {:?}", bias.kind(), bias.size());
                return Err(mismatch(format!("{name} is {found}, expected {:?}", mean.size())));
            }
            *mean -= bias;
        }
        ours.extend(theirs.into_iter().map(|(name, tensor)| {
            let of_head = HEADS.iter().any(|prefix| name.starts_with(prefix));
            (if of_head { format!("head.{name}") } else { name }, tensor)
        }));
        Ok(TensorFile { tensors: ours, metadata: HashMap::new() })
    }

    /// Returns our network's variables as a state dict that the library loads strictly, without exits.
    ///
    /// # Errors
    /// See [`check`](Self::check); [`Error::Variable`] for a missing variable.
    pub fn export(
        self,
        backbone: &BackboneConfig,
        variables: &BTreeMap<String, Tensor>,
    ) -> Result<TensorFile> {
        self.check(backbone)?;
        let mut theirs = BTreeMap::new();
        for layer in backbone.get().layer_names(self)? {
            for tensor in layer.tensors() {
                let name = format!("{}.{tensor}", layer.ours);
                let Some(variable) = variables.get(&name) else {
                    return Err(Error::Variable(name));
                };
                let value = match layer.kind {
                    LayerKind::LinearAsConvolution(side) if *tensor == "weight" => {
                        variable.reshape([variable.size()[0], -1, side, side])
                    }
                    _ => variable.shallow_clone(),
                };
                theirs.insert(format!("{}.{tensor}", layer.theirs), value);
            }
            match &layer.kind {
                LayerKind::BiasedConvolution(norm) => {
                    let like = &variables[&format!("{norm}.running_mean")];
                    theirs.insert(format!("{}.bias", layer.theirs), like.zeros_like());
                }
                LayerKind::BatchNorm => {
                    let count = Tensor::zeros([] as [i64; 0], (Kind::Int64, Device::Cpu));
                    theirs.insert(format!("{}.num_batches_tracked", layer.theirs), count);
                }
                _ => {}
            }
        }
        // As in the files that PyTorch users write.
        let metadata = [("format".to_owned(), "pt".to_owned())];
        Ok(TensorFile { tensors: theirs, metadata: metadata.into() })
    }
}

/// A convolution's weight `[O, C, side, side]` as a linear layer's; another shape is kept.
fn as_linear(weight: Tensor, side: i64) -> Tensor {
    match weight.size()[..] {
        [outputs, inputs, height, width] if height == side && width == side => {
            weight.reshape([outputs, inputs * side * side])
        }
        _ => weight,
    }
}
