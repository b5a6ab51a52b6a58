//! Weights from torchvision and timm, and for them.

use anyhow::{Context, Result};
use sd_bench::run_folder::write_atomic;
use sd_layers::Precision;
use sd_models::{Library, MultiExit, TensorFile, variables};
use tch::{Device, nn};

use crate::cli::{ExportArgs, ImportArgs, StateDict};
use crate::config::Experiment;
use crate::weights;

/// Writes a library's state dict as weights of the configuration's network, without its exits.
/// Gives the number of tensors.
///
/// # Errors
/// If the library does not have the network, and for each tensor that is missing, left over or of
/// another shape.
pub fn import(args: &ImportArgs) -> Result<usize> {
    let mut experiment = Experiment::read(&args.config, &args.set, None)?;
    experiment.model.exits = None;
    let library = library(args.from);
    let backbone = &experiment.model.backbone;
    let file = &args.file;
    library.check(backbone).with_context(|| args.config.display().to_string())?;
    let found = library.import(backbone, TensorFile::read(file)?, file)?;
    let vs = built(&experiment)?;
    let network = variables(&vs);
    found.copy_into(&network, file)?;
    weights::save(&args.out, &vs, &experiment)?;
    Ok(network.len())
}

/// Writes the weights of a run as a state dict that the library loads strictly; exits are left
/// out. Gives the number of tensors.
///
/// # Errors
/// If the library does not have the network, or the file is not whole.
pub fn export(args: &ExportArgs) -> Result<usize> {
    let file = TensorFile::read(&args.file)?;
    let experiment = weights::experiment(&file, &args.file)?;
    let library = library(args.to);
    let backbone = &experiment.model.backbone;
    library.check(backbone).with_context(|| args.file.display().to_string())?;
    let vs = built(&experiment)?;
    file.copy_into(&variables(&vs), &args.file)?;
    let exported = library.export(backbone, &variables(&vs))?;
    write_atomic(&args.out, &exported.to_bytes()?)?;
    Ok(exported.tensors.len())
}

fn built(experiment: &Experiment) -> Result<nn::VarStore> {
    let vs = nn::VarStore::new(Device::Cpu);
    MultiExit::build(&vs.root(), &experiment.model, experiment.task(), Precision::F32)?;
    Ok(vs)
}

fn library(names: StateDict) -> Library {
    match names {
        StateDict::Torchvision => Library::Torchvision,
        StateDict::Timm => Library::Timm,
    }
}
