//! Export of a trained network as ONNX files, which need neither libtorch nor this crate, or as a
//! folder for PyTorch.

mod calibrate;
pub(crate) mod description;
mod folder;
mod measure;
pub mod pytorch;
mod score;

pub use calibrate::record as record_calibration;
pub use score::{NO_TEST_SPLIT, score};

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use sd_layers::Precision;
use sd_onnx::proto::GraphProto;
use sd_onnx::quantize::{QuantFormat, quantize};
use sd_onnx::{Metadata, encode, fold_batch_norms};
use sd_report::EvaluationRecord;
use sd_report::evaluation::ExitPolicy;
use sd_report::run_folder;
use tch::Device;

use crate::evaluation::thresholds::{self, CarriedPredictions};
use crate::evaluation::{Evaluation, Splits, TrainedModel, TrainingData, exit_macs, weights};
use crate::experiment::Experiment;
use description::Describe;
use folder::{Contents, ExportFolder};
use sd_cli::{ExportArgs, ExportFormat, Int8};

/// The folder of `--staged`.
const SEGMENTS: Contents =
    Contents { holds: |name| name.ends_with(".onnx"), subfolder: None, described: "*.onnx files" };

/// Writes the requested files and returns their paths.
///
/// # Errors
/// If the folder is not a run, its weights are not finite or have another configuration, the exit does
/// not exist, a layer has no ONNX form, or the folder of `--staged` has other files.
pub fn export(args: &ExportArgs) -> Result<Vec<PathBuf>> {
    let config = args.run.join(run_folder::CONFIG);
    let experiment = Experiment::read(&config, &[], None)?;
    // The file holds 32-bit floats, whatever the precision of training.
    let trained =
        TrainedModel::of(experiment, &args.run, args.weights, Device::Cpu, Precision::F32)?;
    let TrainedModel { experiment, network, .. } = &trained;
    let data = trained.training_data(&args.run, &args.data_dir)?;
    if let Some(ExportFormat::Pytorch) = args.to {
        return pytorch::export(args, &trained, &data);
    }
    let recorded = weights::recorded(&args.run, args.weights)?;
    let mut temperatures =
        recorded.as_ref().map(EvaluationRecord::temperatures).unwrap_or_default();
    let mut policy = ExitPolicy::default();
    if args.all || args.staged {
        match recorded_policy(args, recorded) {
            Some(recorded) => policy = recorded,
            None => (policy, temperatures) = choose(args, &trained, &data)?,
        }
    }
    let describe = Describe { experiment, network, data: &data, temperatures: &temperatures };
    let mut staged = None;
    let files: Vec<(PathBuf, GraphProto, Metadata)> = if args.staged {
        let folder =
            args.out.clone().unwrap_or_else(|| args.run.join(default_name(args, "staged")));
        staged = Some(ExportFolder::create(&folder, SEGMENTS)?);
        let metadata = describe.exits(&policy)?;
        let segments = network.onnx_segments()?.into_iter().enumerate();
        let file = |(segment, graph): (usize, GraphProto)| {
            let name = format!("{}-{}.onnx", segment + 1, graph.name);
            (folder.join(name), graph, Metadata { segment: Some(segment), ..metadata.clone() })
        };
        segments.map(file).collect()
    } else if args.all {
        let path = args.out.clone().unwrap_or_else(|| args.run.join(default_name(args, "all")));
        vec![(path, network.onnx_all()?, describe.exits(&policy)?)]
    } else {
        let names = network.exit_names();
        let asked = args.exit.as_ref().or(names.last()).context("the network has no exit")?;
        let Some(exit) = names.iter().position(|name| name == asked) else {
            bail!("--exit: found `{asked}`, expected one of {}", names.join(", "));
        };
        let path = args.out.clone().unwrap_or_else(|| args.run.join(default_name(args, asked)));
        vec![(path, network.onnx_until(exit)?, describe.exit(exit)?)]
    };
    let form = args.int8.map(|form| match form {
        Int8::Qdq => QuantFormat::Qdq,
        Int8::Convinteger => QuantFormat::ConvInteger,
    });
    let int8 = match form {
        Some(form) => Some((form, calibrate::ranges(args, &describe)?)),
        None => None,
    };
    let mut written = Vec::new();
    for (path, mut graph, mut metadata) in files {
        if !args.no_fold {
            fold_batch_norms(&mut graph)?;
        }
        if let Some((form, ranges)) = &int8 {
            quantize(&mut graph, ranges, *form)?;
            metadata.int8 = Some(*form);
        }
        let file = encode(graph, &metadata);
        match (&staged, path.file_name().and_then(|name| name.to_str())) {
            (Some(folder), Some(name)) => run_folder::write_atomic(folder.path(name), &file)?,
            _ => run_folder::write_atomic(&path, &file)?,
        }
        written.push(path);
    }
    if let Some(folder) = staged {
        folder.finish()?;
    }
    Ok(written)
}

/// The early-exit policy that the run recorded, unless another one is requested.
fn recorded_policy(args: &ExportArgs, recorded: Option<EvaluationRecord>) -> Option<ExitPolicy> {
    let is_other = args.budget.is_some() || args.tolerance.is_some();
    recorded.filter(|_| !is_other)?.early_exit?.policy
}

/// Chooses the early-exit policy on the validation split and fits the temperatures there, those of
/// [`Describe`].
fn choose(
    args: &ExportArgs,
    trained: &TrainedModel,
    data: &TrainingData,
) -> Result<(ExitPolicy, Vec<f32>)> {
    let TrainedModel { experiment, network, .. } = trained;
    let valid = if data.images.is_some_and(|images| images.valid.is_none()) {
        None
    } else {
        let splits = Splits::open(experiment, data, &args.data_dir);
        splits.and_then(|splits| splits.valid()).context(
            "early-exit thresholds are chosen on the validation split; without --budget and \
             --tolerance, the export has those that the run recorded, if any",
        )?
    };
    let Some(images) = valid else {
        ensure!(
            args.budget.is_none(),
            "--budget: {} has no validation split (data.validation) to choose a threshold on",
            args.run.join(run_folder::CONFIG).display()
        );
        return Ok((ExitPolicy::default(), vec![]));
    };
    let evaluation = Evaluation::new(
        images,
        data.normalization(),
        experiment.evaluation_batch(),
        1,
        Device::Cpu,
    )?;
    let logits = evaluation.logits(network)?;
    let carried = CarriedPredictions::all(&logits);
    let macs = exit_macs(network)?;
    let policy = match args.budget {
        Some(percent) => thresholds::within_budget(&carried, &macs, percent)?,
        None => {
            let points = args.tolerance.unwrap_or(thresholds::TOLERANCE);
            thresholds::within_points(&carried, &macs, points)
        }
    };
    Ok((policy, logits.temperatures()))
}

/// Default name of the file or folder: `deepest.onnx`, `staged-qdq`.
fn default_name(args: &ExportArgs, what: &str) -> String {
    let form = match args.int8 {
        None => "",
        Some(Int8::Qdq) => "-qdq",
        Some(Int8::Convinteger) => "-convinteger",
    };
    format!("{what}{form}{}", if args.staged { "" } else { ".onnx" })
}
