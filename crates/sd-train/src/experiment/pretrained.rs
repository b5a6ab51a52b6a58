//! Pretrained weights.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use schemars::JsonSchema;
use sd_data::Normalization;
use sd_models::{BackboneConfig, Library, MultiExit, TensorFile};
use sd_report::run_folder;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

/// Why weights do not fit a network with several branches.
const MERGED: &str = "train.pretrained: pretrained weights have no `reparameterised_dense` and \
    `reparameterised_separable` convolutions, whose branches a run merges; expected `dense` and \
    `depthwise_separable` in model.backbone";

/// Pretrained weights. In TOML:
/// `pretrained = { file = "resnet18.safetensors", from = "torchvision", except = ["head"] }`.
///
/// A classifier, the last linear layer of the head or an exit, keeps its initialisation if the file's
/// has another number of classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainedConfig {
    /// A safetensors file, or the folder of a run, whose last weights are used.
    pub file: PathBuf,
    /// Library whose tensor names the file uses.
    pub from: Source,
    /// Parts of the network that keep their initialisation: `stem`, `stage1`, …, `head`.
    #[serde(default)]
    pub except: Vec<String>,
    /// Loads the exits too, which a run of this project has. By default they keep their
    /// initialisation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exits: bool,
    /// Learning rate of the loaded parts relative to that of the others, above 0, at most 1. Default:
    /// 1. Classifiers have the full rate.
    #[serde(default = "full_rate", skip_serializing_if = "is_full_rate")]
    pub rate: f64,
    /// Last frozen part, `stem`, `stage1`, …; it and all before it keep their weights and batch norm
    /// statistics. Unset: nothing is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze_through: Option<String>,
}

fn full_rate() -> f64 {
    1.0
}

fn is_full_rate(rate: &f64) -> bool {
    *rate == full_rate()
}

/// Origin of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A run of this project, or `weights import`.
    Run,
    /// torchvision's `state_dict()`.
    Torchvision,
    /// timm's.
    Timm,
}

/// Parts of a network that were loaded from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedParts {
    /// Loaded parts, with their number of tensors.
    pub parts: Vec<(String, usize)>,
    /// Parts that kept their initialisation.
    pub kept: Vec<String>,
    /// Parts whose classifier kept its initialisation, because the file's has other classes.
    pub new_classifiers: Vec<String>,
    /// Prefix of the names in the file that was removed, or empty.
    pub prefix: String,
    /// Normalisation of the images that the weights were trained on, if the file records it.
    pub normalization: Option<Normalization>,
}

/// What is read of the data that a run's weights record.
#[derive(Deserialize)]
struct RecordedData {
    input: RecordedInput,
}

#[derive(Deserialize)]
struct RecordedInput {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl PretrainedConfig {
    /// Checks everything that needs neither the file nor the network.
    ///
    /// # Errors
    /// Names the value and its range.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.rate > 0.0 && self.rate <= 1.0,
            "train.pretrained.rate is {}, expected above 0, at most 1",
            self.rate
        );
        ensure!(
            !self.exits || self.from == Source::Run,
            "train.pretrained.exits is true, expected false: only a run of this project has exits"
        );
        Ok(())
    }

    /// Freezes the parts that the configuration names, of a network with the variables `vs`.
    ///
    /// # Errors
    /// If the network has no such part, or the part is not loaded.
    pub fn freeze(&self, network: &mut MultiExit, vs: &nn::VarStore) -> Result<()> {
        let Some(last) = &self.freeze_through else { return Ok(()) };
        const KEY: &str = "train.pretrained.freeze_through";
        network.freeze_through(last, vs).context(KEY)?;
        let last = order(last);
        if let Some(part) = self.except.iter().find(|part| order(part) <= last) {
            bail!("{KEY}: `{part}` would stay at its initialisation: it is in `except`");
        }
        Ok(())
    }

    /// Whether a variable has the learning rate of the loaded parts.
    pub fn is_fine_tuned(&self, name: &str) -> bool {
        !self.keeps(part(name)) && !is_classifier(name)
    }

    /// Whether a part keeps its initialisation.
    fn keeps(&self, part: &str) -> bool {
        is_exit(part) && !self.exits || self.except.iter().any(|kept| kept == part)
    }

    /// Copies the file's tensors into the network's `variables`.
    ///
    /// # Errors
    /// Names the tensors that are missing, left over or of another shape; nothing is copied then.
    pub fn load(
        &self,
        backbone: &BackboneConfig,
        variables: &BTreeMap<String, Tensor>,
    ) -> Result<LoadedParts> {
        let mut parts: Vec<&str> = variables.keys().map(|name| part(name)).collect();
        parts.sort_by_key(|part| order(part));
        parts.dedup();
        let own = parts.iter().copied().filter(|part| self.exits || !is_exit(part));
        let own: Vec<&str> = own.collect();
        for part in &self.except {
            ensure!(
                own.contains(&part.as_str()),
                "train.pretrained.except has `{part}`, expected parts of the network: {}",
                own.join(", ")
            );
        }

        let path = match self.from {
            Source::Run if self.file.is_dir() => self.file.join(run_folder::MODEL),
            _ => self.file.clone(),
        };
        let library = match self.from {
            Source::Run => None,
            Source::Torchvision => Some(Library::Torchvision),
            Source::Timm => Some(Library::Timm),
        };
        let (mut file, prefix) = match library {
            None => (TensorFile::read(&path)?, String::new()),
            Some(library) => {
                let (state_dict, prefix) = TensorFile::read_state_dict(&path)?;
                (library.import(backbone, state_dict, &path)?, prefix)
            }
        };
        file.tensors.retain(|name, _| !self.keeps(part(name)));
        file.check_values(&path)?;
        let wanted = variables.iter().filter(|(name, _)| !self.keeps(part(name)));
        let mut wanted: BTreeMap<String, Tensor> =
            wanted.map(|(name, value)| (name.clone(), value.shallow_clone())).collect();
        let of_other_classes = |name: &String, value: &Tensor| {
            let found = file.tensors.get(name).map(Tensor::size).unwrap_or_default();
            is_classifier(name) && differs_in_classes(&found, &value.size())
        };
        let other: Vec<String> = wanted
            .iter()
            .filter(|(name, value)| of_other_classes(name, value))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &other {
            wanted.remove(name);
            file.tensors.remove(name);
        }
        let copied = file.copy_into(&wanted, &path);
        if backbone.get().merged() == *backbone {
            copied?;
        } else {
            copied.context(MERGED)?;
        }

        let recorded = file.metadata.get("data");
        let recorded = recorded.and_then(|text| serde_json::from_str::<RecordedData>(text).ok());
        let tensors = |whole: &str| wanted.keys().filter(|name| part(name) == whole).count();
        let loaded = |part: &&str| !self.keeps(part) && tensors(part) > 0;
        let names = |parts: Vec<&str>| parts.into_iter().map(str::to_owned).collect();
        let mut new_classifiers: Vec<&str> = other.iter().map(|name| part(name)).collect();
        new_classifiers.sort_by_key(|part| order(part));
        new_classifiers.dedup();
        Ok(LoadedParts {
            kept: names(parts.iter().copied().filter(|part| self.keeps(part)).collect()),
            parts: parts
                .iter()
                .copied()
                .filter(loaded)
                .map(|part| (part.to_owned(), tensors(part)))
                .collect(),
            new_classifiers: names(new_classifiers),
            prefix,
            normalization: recorded.map(|RecordedData { input }| Normalization {
                mean: input.mean,
                deviation: input.deviation,
            }),
        })
    }
}

impl std::fmt::Display for LoadedParts {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let parts = self.parts.iter().map(|(part, tensors)| format!("{part} ({tensors} tensors)"));
        write!(f, "took {}", parts.collect::<Vec<_>>().join(", "))?;
        if !self.kept.is_empty() {
            write!(f, "; {} kept their initialisation", self.kept.join(", "))?;
        }
        if !self.new_classifiers.is_empty() {
            let names = self.new_classifiers.join(", ");
            write!(f, "; new classifiers for another number of classes: {names}")?;
        }
        if !self.prefix.is_empty() {
            write!(f, "; without the prefix `{}` of their names", self.prefix)?;
        }
        Ok(())
    }
}

/// Whether a tensor belongs to the last layer of the head or an exit.
fn is_classifier(name: &str) -> bool {
    let Some((part, inner)) = name.split_once('.') else { return false };
    (part == "head" || is_exit(part)) && matches!(inner, "linear.weight" | "linear.bias")
}

/// Whether two shapes of a classifier's tensor, `[K, D]` or `[K]`, differ in K alone.
fn differs_in_classes(found: &[i64], expected: &[i64]) -> bool {
    found.len() == expected.len()
        && found.first() != expected.first()
        && found[1..] == expected[1..]
}

/// The part of the network in a tensor's name: `stage1` in `backbone.stage1.0.conv.weight`.
fn part(name: &str) -> &str {
    let inner = name.strip_prefix("backbone.").unwrap_or(name);
    inner.split_once('.').map_or(inner, |(part, _)| part)
}

/// Sort key of a part: the order in which images pass through the network, exits last.
fn order(part: &str) -> (u8, &str) {
    let rank = match part {
        "stem" => 0,
        "head" => 2,
        _ if is_exit(part) => 3,
        _ => 1,
    };
    (rank, part)
}

/// Whether a part is an exit or its adapter.
fn is_exit(part: &str) -> bool {
    let number = part.strip_prefix("exit").or_else(|| part.strip_prefix("adapter"));
    number.is_some_and(|number| number.parse::<usize>().is_ok())
}
