//! Export as a folder for PyTorch, as the Hugging Face Hub has it: weights, configuration, the network
//! in plain PyTorch (`modeling.py`) and a model card.
//!
//! Where timm builds the same backbone, the weights have timm's names, and timm loads the folder too.
//! The weights of shallow exits, which timm does not have, are then in a file of their own.

mod card;
mod config;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Result;
use sd_cli::ExportArgs;
use sd_models::{Library, MultiExit, TensorFile};
use sd_report::{EvaluationRecord, run_folder};
use tch::Tensor;

use super::folder::{Contents, ExportFolder};
use crate::evaluation::{TrainedModel, TrainingData, weights};
use crate::experiment::Experiment;

/// The network in plain PyTorch, the same file for every network.
pub const MODELING: &str = include_str!("modeling.py");

const FILES: [&str; 5] =
    ["README.md", "config.json", "exits.safetensors", "model.safetensors", "modeling.py"];

const CONTENTS: Contents = Contents {
    holds: |name| FILES.contains(&name),
    // Python leaves it where it imports a file.
    subfolder: Some("__pycache__"),
    described: "the files of an earlier export to PyTorch",
};

/// What the folder is written from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Experiment of the run.
    pub experiment: &'a Experiment,
    /// Its network.
    pub network: &'a MultiExit,
    /// The network's parameters and running statistics, by name.
    pub variables: &'a BTreeMap<String, Tensor>,
    /// The data of its training.
    pub data: &'a TrainingData,
    /// Evaluation of these weights, for the card.
    pub evaluation: Option<&'a EvaluationRecord>,
}

/// Writes the folder of a run and returns its path.
pub(super) fn export(
    args: &ExportArgs,
    trained: &TrainedModel,
    data: &TrainingData,
) -> Result<Vec<PathBuf>> {
    let TrainedModel { experiment, network, variables, .. } = trained;
    let evaluation = weights::recorded(&args.run, args.weights)?;
    let source = Source { experiment, network, variables, data, evaluation: evaluation.as_ref() };
    let destination = args.out.clone().unwrap_or_else(|| args.run.join("pytorch"));
    source.write(&destination)?;
    Ok(vec![destination])
}

impl Source<'_> {
    /// Writes the folder as a whole, in place of an earlier one.
    ///
    /// # Errors
    /// If the folder has other files, or a file cannot be written.
    pub fn write(&self, destination: &Path) -> Result<()> {
        let folder = ExportFolder::create(destination, CONTENTS)?;
        for (name, bytes) in self.files()? {
            run_folder::write_atomic(folder.path(name), &bytes)?;
        }
        folder.finish()
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let mut files = Vec::new();
        let of_exit = |name: &&String| name.starts_with("exit");
        if self.timm_architecture().is_some() {
            let backbone = &self.experiment.model.backbone;
            let timm = Library::Timm.export(backbone, self.variables)?;
            files.push(("model.safetensors", timm.to_bytes()?));
            if self.variables.keys().any(|name| of_exit(&name)) {
                files.push(("exits.safetensors", self.tensors(of_exit)?));
            }
        } else {
            // Only training uses adapters.
            let of_network = |name: &&String| !name.starts_with("adapter");
            files.push(("model.safetensors", self.tensors(of_network)?));
        }
        files.push(("config.json", self.config()?.into_bytes()));
        files.push(("modeling.py", MODELING.as_bytes().to_vec()));
        files.push(("README.md", self.card()?.into_bytes()));
        Ok(files)
    }

    /// A safetensors file of some variables.
    fn tensors(&self, wanted: impl Fn(&&String) -> bool) -> Result<Vec<u8>> {
        let wanted = self.variables.iter().filter(|(name, _)| wanted(name));
        let tensors = wanted.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        Ok(TensorFile { tensors, metadata }.to_bytes()?)
    }

    /// The name under which timm builds the backbone, if it does.
    fn timm_architecture(&self) -> Option<String> {
        let Experiment { model, .. } = self.experiment;
        model.backbone.get().timm_architecture(self.experiment.task().input)
    }
}
