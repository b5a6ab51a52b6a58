//! `weights`: conversion from and to state dicts of torchvision and timm.

use anyhow::{Context, Result};
use sd_cli::{StateDictFormat, WeightsCommand, WeightsExportArgs, WeightsImportArgs, print};
use sd_layers::Precision;
use sd_models::{Library, MultiExit, TensorFile, variables};
use sd_report::run_folder::write_atomic;
use tch::{Device, nn};

use crate::evaluation::weights;
use crate::experiment::Experiment;

/// Converts weights, and prints the file and its number of tensors.
///
/// # Errors
/// If the library does not have the network; names each tensor that is missing, left over or of
/// another shape.
pub fn weights(command: &WeightsCommand) -> Result<()> {
    let (tensors, prefix, file) = match command {
        WeightsCommand::Import(args) => {
            let (tensors, prefix) = import(args)?;
            (tensors, prefix, &args.out)
        }
        WeightsCommand::Export(args) => (export(args)?, String::new(), &args.out),
    };
    let removed = match &*prefix {
        "" => String::new(),
        prefix => format!("; without the prefix `{prefix}` of their names"),
    };
    print(format!("{}: {tensors} tensors{removed}", file.display()))
}

/// Converts a library's state dict to weights of the configuration's network, without its exits.
/// Returns the number of tensors, and the prefix of their names that was removed.
fn import(args: &WeightsImportArgs) -> Result<(usize, String)> {
    let mut experiment = Experiment::read(&args.config, &args.set, None)?;
    experiment.model.exits = None;
    let library = library(args.from);
    let backbone = &experiment.model.backbone;
    let file = &args.file;
    library.check(backbone).with_context(|| args.config.display().to_string())?;
    let (state_dict, prefix) = TensorFile::read_state_dict(file)?;
    state_dict.check_values(file)?;
    let found = library.import(backbone, state_dict, file)?;
    let vs = built(&experiment)?;
    let network = variables(&vs);
    found.copy_into(&network, file)?;
    weights::save(&args.out, &vs, &experiment, None)?;
    Ok((network.len(), prefix))
}

/// Converts the weights of a run to a state dict that the library loads strictly, without its exits.
/// Returns the number of tensors.
fn export(args: &WeightsExportArgs) -> Result<usize> {
    let file = TensorFile::read(&args.file)?;
    file.check_values(&args.file)?;
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
