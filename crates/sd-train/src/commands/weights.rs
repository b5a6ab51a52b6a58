//! `weights`: conversion from and to state dicts of torchvision and timm.

use anyhow::{Context, Result};
use sd_cli::{StateDictFormat, WeightsCommand, WeightsExportArgs, WeightsImportArgs};
use sd_layers::Precision;
use sd_models::{Library, MultiExit, TensorFile, variables};
use sd_report::run_folder::write_atomic;
use tch::{Device, nn};

use super::output::print;
use crate::evaluation::weights;
use crate::experiment::Experiment;

/// Converts weights, and prints the file and its number of tensors.
///
/// # Errors
/// If the library does not have the network; names each tensor that is missing, left over or of
/// another shape.
pub fn weights(command: &WeightsCommand) -> Result<()> {
    let (tensors, file) = match command {
        WeightsCommand::Import(args) => (import(args)?, &args.out),
        WeightsCommand::Export(args) => (export(args)?, &args.out),
    };
    print(format!("{}: {tensors} tensors", file.display()))
}

/// Converts a library's state dict to weights of the configuration's network, without its exits.
/// Returns the number of tensors.
fn import(args: &WeightsImportArgs) -> Result<usize> {
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
    weights::save(&args.out, &vs, &experiment, None)?;
    Ok(network.len())
}

/// Converts the weights of a run to a state dict that the library loads strictly, without its exits.
/// Returns the number of tensors.
fn export(args: &WeightsExportArgs) -> Result<usize> {
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

fn library(format: StateDictFormat) -> Library {
    match format {
        StateDictFormat::Torchvision => Library::Torchvision,
        StateDictFormat::Timm => Library::Timm,
    }
}
