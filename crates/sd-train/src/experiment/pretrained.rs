//! Pretrained weights.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use sd_models::{BackboneConfig, Library, TensorFile};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Pretrained weights. In TOML:
/// `pretrained = { file = "resnet18.safetensors", from = "torchvision", except = ["head"] }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainedConfig {
    /// A safetensors file.
    pub file: PathBuf,
    /// Library whose tensor names the file uses.
    pub from: Source,
    /// Parts of the network that keep their initialisation: `stem`,
    /// `stage1`, …, `head`. Exits always do.
    #[serde(default)]
    pub except: Vec<String>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedParts {
    /// Loaded parts, with their number of tensors.
    pub parts: Vec<(String, usize)>,
    /// Parts that kept their initialisation.
    pub kept: Vec<String>,
    /// Prefix of the names in the file that was removed, or empty.
    pub prefix: String,
}

impl PretrainedConfig {
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
        let own: Vec<&str> = parts.iter().copied().filter(|part| !is_exit(part)).collect();
        for part in &self.except {
            ensure!(
                own.contains(&part.as_str()),
                "train.pretrained.except has `{part}`, expected parts of the network: {}",
                own.join(", ")
            );
        }
        let keeps = |part: &str| is_exit(part) || self.except.iter().any(|kept| kept == part);

        let library = match self.from {
            Source::Run => None,
            Source::Torchvision => Some(Library::Torchvision),
            Source::Timm => Some(Library::Timm),
        };
        let (mut file, prefix) = match library {
            None => (TensorFile::read(&self.file)?, String::new()),
            Some(library) => {
                let (state_dict, prefix) = TensorFile::read_state_dict(&self.file)?;
                (library.import(backbone, state_dict, &self.file)?, prefix)
            }
        };
        file.tensors.retain(|name, _| !keeps(part(name)));
        file.check_values(&self.file)?;
        let wanted = variables.iter().filter(|(name, _)| !keeps(part(name)));
        let wanted = wanted.map(|(name, value)| (name.clone(), value.shallow_clone())).collect();
        file.copy_into(&wanted, &self.file)?;

        let tensors = |whole: &str| wanted.keys().filter(|name| part(name) == whole).count();
        let (kept, taken): (Vec<&str>, Vec<&str>) = parts.into_iter().partition(|part| keeps(part));
        Ok(LoadedParts {
            parts: taken.into_iter().map(|part| (part.to_owned(), tensors(part))).collect(),
            kept: kept.into_iter().map(str::to_owned).collect(),
            prefix,
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
        if !self.prefix.is_empty() {
            write!(f, "; without the prefix `{}` of their names", self.prefix)?;
        }
        Ok(())
    }
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

fn is_exit(part: &str) -> bool {
    part.strip_prefix("exit").is_some_and(|number| number.parse::<usize>().is_ok())
}
